package edge

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes as flags and requests have it: "7MB". The units are
// powers of two whatever they are called: 64KB and 64KiB are 65,536 bytes.
type Size int64

// sizeUnits are the units of a Size, the largest first.
var sizeUnits = []struct {
	name  string
	shift uint
}{{"GB", 30}, {"MB", 20}, {"KB", 10}, {"", 0}}

// String writes it in the largest unit that divides it.
func (s Size) String() string {
	for _, unit := range sizeUnits {
		if n := int64(s) >> unit.shift; s != 0 && n<<unit.shift == int64(s) {
			return strconv.FormatInt(n, 10) + unit.name
		}
	}
	return "0"
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a whole number with B, KB, MB, GB or KiB, MiB, GiB, or with no
// unit for bytes.
func (s *Size) UnmarshalText(text []byte) error {
	number := strings.TrimRight(string(text), "BKMGi")
	unit := string(text[len(number):])
	if short := strings.TrimSuffix(unit, "iB"); short != "" && short != unit {
		unit = short + "B"
	}
	if unit == "B" {
		unit = ""
	}
	for _, known := range sizeUnits {
		if known.name != unit {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 63)
		if err == nil && n <= math.MaxInt64>>known.shift {
			*s = Size(n << known.shift)
			return nil
		}
	}
	return fmt.Errorf("%q: want a size, as 4096, 64KB or 100MB", text)
}
