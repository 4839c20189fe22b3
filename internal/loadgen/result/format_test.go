package result

import "testing"

func TestUnitFormat(t *testing.T) {
	for _, c := range []struct {
		unit Unit
		v    float64
		want string
	}{
		{Nanoseconds, 0, "0 ns"},
		{Nanoseconds, 812, "812 ns"},
		{Nanoseconds, 312_400, "312 µs"},
		{Nanoseconds, 999_700, "1 ms"},
		{Nanoseconds, 12_345_678, "12.3 ms"},
		{Nanoseconds, 1_932_000_000, "1.93 s"},
		{Nanoseconds, 100_000_000, "100 ms"},
		{Nanoseconds, 3_600_000_000_000, "3,600 s"},
		{Nanoseconds, -5_000_000, "-5 ms"},
		{Bytes, 256, "256 B"},
		{Bytes, 1536, "1.5 KiB"},
		{Bytes, 3 << 30, "3 GiB"},
		{One, 14_800, "14,800"},
		{One, -1_000_000, "-1,000,000"},
		{One, 0.99931, "0.99931"},
		{One, 0.9999999, "0.9999999"},
		{One, 0.8765, "0.876"},
		{One, 0.00042, "0.00042"},
		{One, 3.25, "3.25"},
		{One, 0, "0"},
	} {
		if got := c.unit.Format(c.v); got != c.want {
			t.Errorf("%s.Format(%v) = %q, want %q", c.unit, c.v, got, c.want)
		}
	}
}
