package functions

import (
	"fmt"
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
