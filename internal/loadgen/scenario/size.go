package scenario

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
)

// SizeDist is a payload size in bytes:
//
//	256B                   constant; also kB and MB (powers of 1000), KiB and MiB (of 1024)
//	uniform:100B,4KiB      every size from the first to the second equally likely
//	lognormal:512B,0.8     median and σ of the logarithm, cut off at 4σ
type SizeDist struct {
	// Min and Max are what Draw stays within; equal when constant.
	Min, Max int
	// Median and Sigma are of a lognormal; both 0 otherwise.
	Median int
	Sigma  float64
}

// maxSize is the largest payload, 16 MiB.
const maxSize = 16 << 20

const (
	sizeForm    = `a size such as 256B, 4KiB or 1MB, or uniform:100B,4KiB, or lognormal:512B,0.8`
	oneSize     = `[0-9]+(\.[0-9]+)?(B|[kK]B|MB|KiB|MiB)`
	sizePattern = `^(` + oneSize + `|uniform:` + oneSize + `,` + oneSize + `|lognormal:` + oneSize + `,[0-9]+(\.[0-9]+)?)$`
)

var sizeSyntax = regexp.MustCompile(sizePattern)

// sizeUnits is how many bytes a unit has, longest names first.
var sizeUnits = []struct {
	name  string
	bytes float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"B", 1}}

// ParseSizeDist reads the notation of SizeDist.
func ParseSizeDist(text string) (SizeDist, error) {
	fail := func(why string) (SizeDist, error) { return SizeDist{}, fmt.Errorf("%q: %s", text, why) }
	if !sizeSyntax.MatchString(text) {
		return fail("want " + sizeForm)
	}
	shape, args, given := strings.Cut(text, ":")
	if !given {
		shape, args = "constant", text
	}
	first, second, _ := strings.Cut(args, ",")
	size, err := parseSize(first)
	if err != nil {
		return fail(err.Error())
	}
	switch shape {
	case "uniform":
		upper, err := parseSize(second)
		if err != nil {
			return fail(err.Error())
		}
		if size > upper {
			return fail("the smaller size comes first")
		}
		return SizeDist{Min: size, Max: upper}, nil
	case "lognormal":
		sigma, err := strconv.ParseFloat(second, 64)
		if err != nil || sigma <= 0 || sigma > 3 {
			return fail("σ of a lognormal must be above 0 and at most 3")
		}
		if size < 1 {
			return fail("the median of a lognormal must be at least 1B")
		}
		spread := math.Exp(4 * sigma)
		return SizeDist{
			Min:    int(math.Max(1, math.Floor(float64(size)/spread))),
			Max:    int(math.Min(maxSize, math.Ceil(float64(size)*spread))),
			Median: size, Sigma: sigma,
		}, nil
	}
	return SizeDist{Min: size, Max: size}, nil
}

// parseSize reads one size such as 4KiB.
func parseSize(text string) (int, error) {
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			break
		}
		bytes := v * u.bytes
		if bytes > maxSize {
			return 0, fmt.Errorf("%s is above the limit of %s", text, formatSize(maxSize))
		}
		if bytes != math.Trunc(bytes) {
			return 0, fmt.Errorf("%s is no whole number of bytes", text)
		}
		return int(bytes), nil
	}
	return 0, fmt.Errorf("%q is no size such as 256B, 4KiB or 1MB", text)
}

func formatSize(bytes int) string {
	switch {
	case bytes >= 1<<20 && bytes%(1<<20) == 0:
		return strconv.Itoa(bytes>>20) + "MiB"
	case bytes >= 1<<10 && bytes%(1<<10) == 0:
		return strconv.Itoa(bytes>>10) + "KiB"
	}
	return strconv.Itoa(bytes) + "B"
}

// Draw returns one size, from Min to Max. A constant takes nothing from rng.
func (s SizeDist) Draw(rng *rand.Rand) int {
	switch {
	case s.Sigma > 0:
		v := float64(s.Median) * math.Exp(s.Sigma*rng.NormFloat64())
		return int(math.Round(math.Min(math.Max(v, float64(s.Min)), float64(s.Max))))
	case s.Max > s.Min:
		return s.Min + rng.IntN(s.Max-s.Min+1)
	}
	return s.Min
}

// String is the notation that ParseSizeDist reads.
func (s SizeDist) String() string {
	switch {
	case s.Sigma > 0:
		return "lognormal:" + formatSize(s.Median) + "," + strconv.FormatFloat(s.Sigma, 'f', -1, 64)
	case s.Max > s.Min:
		return "uniform:" + formatSize(s.Min) + "," + formatSize(s.Max)
	}
	return formatSize(s.Min)
}

// MarshalText writes the notation that UnmarshalText reads, in YAML and JSON.
func (s SizeDist) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the notation of SizeDist.
func (s *SizeDist) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSizeDist(string(text))
	return err
}
