package scenario

import (
	"fmt"
	"regexp"
	"strings"
)

// ByteRate is a number of bytes a second, written "4KiB/s": a size of SizeDist's
// notation, up to 16 MiB.
type ByteRate int

const (
	byteRateForm    = `a size a second such as 4KiB/s or 1MB/s`
	byteRatePattern = `^` + oneSize + `/s$`
)

var byteRateSyntax = regexp.MustCompile(byteRatePattern)

// ParseByteRate reads the notation of ByteRate.
func ParseByteRate(text string) (ByteRate, error) {
	if !byteRateSyntax.MatchString(text) {
		return 0, fmt.Errorf("%q: want %s", text, byteRateForm)
	}
	n, err := parseSize(strings.TrimSuffix(text, "/s"))
	if err != nil {
		return 0, fmt.Errorf("%q: %w", text, err)
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
