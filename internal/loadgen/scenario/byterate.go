package scenario

import (
	"fmt"
	"strings"
)

// ByteRate is bytes a second, written as a size and a unit of time: "8KiB/s". From 1
// B/s to 16 MiB/s.
type ByteRate int

const (
	byteRateForm    = `bytes a second such as 8KiB/s`
	byteRatePattern = `^` + oneSize + `/s$`
)

// ParseByteRate reads the notation of ByteRate.
func ParseByteRate(text string) (ByteRate, error) {
	size, found := strings.CutSuffix(text, "/s")
	if !found {
		return 0, fmt.Errorf("%q: want %s", text, byteRateForm)
	}
	n, err := parseSize(size)
	if err != nil {
		return 0, fmt.Errorf("%q: want %s: %w", text, byteRateForm, err)
	}
	if n < 1 {
		return 0, fmt.Errorf("%q: must be above 0", text)
	}
	return ByteRate(n), nil
}

// String is the notation that ParseByteRate reads.
func (r ByteRate) String() string { return formatSize(int(r)) + "/s" }

// MarshalText writes the notation that UnmarshalText reads, in YAML and JSON.
func (r ByteRate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the notation of ByteRate.
func (r *ByteRate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseByteRate(string(text))
	return err
}
