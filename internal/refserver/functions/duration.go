package functions

import (
	"encoding/json"
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
		return fmt.Errorf("%q: want a duration such as \"250ms\"", text)
	}
	*d = duration(v)
	return nil
}

// UnmarshalJSON reads it from a string.
func (d *duration) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return fmt.Errorf("duration %s: want a string such as \"250ms\"", raw)
	}
	return d.UnmarshalText([]byte(text))
}
