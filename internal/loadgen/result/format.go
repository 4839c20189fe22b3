package result

import (
	"math"
	"strconv"
	"strings"
)

// Format writes a value of unit u for people: three significant digits and the
// unit that suits the size ("312 µs", "1.93 s", "1.5 KiB"), whole plain numbers
// in full with thousands apart ("14,800").
func (u Unit) Format(v float64) string {
	switch u {
	case Nanoseconds:
		return scaled(v, 1000, []string{"ns", "µs", "ms", "s"})
	case Bytes:
		return scaled(v, 1024, []string{"B", "KiB", "MiB", "GiB", "TiB"})
	default:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return thousands(strconv.FormatInt(int64(v), 10))
		}
		if v > 0.999 && v < 1 {
			return trimZeros(strconv.FormatFloat(math.Floor(v*1e7+1e-6)/1e7, 'f', 7, 64)) // a ratio short of 1 never reads as 1
		}
		return significant(v)
	}
}

// scaled divides v by step until it is small enough for its unit.
func scaled(v, step float64, units []string) string {
	i := 0
	for i < len(units)-1 && math.Abs(rounded(v)) >= step {
		v /= step
		i++
	}
	return significant(v) + " " + units[i]
}

// rounded keeps three significant digits, so that 999.7 µs is already 1 ms.
func rounded(v float64) float64 {
	if v == 0 {
		return 0
	}
	e := math.Pow(10, 2-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*e) / e
}

// significant writes v with three significant digits, and whole from 100 on.
func significant(v float64) string {
	a := math.Abs(rounded(v))
	switch {
	case a >= 100:
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 10:
		return trimZeros(strconv.FormatFloat(v, 'f', 1, 64))
	case a >= 1:
		return trimZeros(strconv.FormatFloat(v, 'f', 2, 64))
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}

func trimZeros(s string) string {
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// thousands sets commas between groups of three digits of a whole number.
func thousands(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
