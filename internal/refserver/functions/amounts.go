package functions

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// duration is a time.Duration as it is written: "1.5s".
type duration time.Duration

// String writes it.
func (d duration) String() string { return time.Duration(d).String() }

// UnmarshalText reads it.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q: want a duration, as 500ms or 2s", text)
	}
	*d = duration(v)
	return nil
}

// size is a number of bytes as it is written: "7MB".
type size int64

// UnmarshalText reads it.
func (s *size) UnmarshalText(text []byte) error {
	number := strings.TrimRight(string(text), "BKMibk")
	var shift uint
	switch unit := string(text[len(number):]); unit {
	case "", "B":
	case "KB", "KiB":
		shift = 10
	case "MB", "MiB":
		shift = 20
	default:
		return fmt.Errorf("%q: want a size, as 4096, 64KB or 100MB", text)
	}
	v, err := strconv.ParseUint(number, 10, 63)
	if err != nil || v > math.MaxInt64>>shift {
		return fmt.Errorf("%q: want a size, as 4096, 64KB or 100MB", text)
	}
	*s = size(v << shift)
	return nil
}
