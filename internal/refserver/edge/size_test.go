package edge

import "testing"

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "4096": 4096, "12B": 12, "64KB": 64 << 10, "64KiB": 64 << 10, "100MB": 100 << 20, "2GiB": 2 << 30, "8589934591GB": 8589934591 << 30,
	} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s reads as %d, %v; want %d", text, got, err, want)
		}
		var again Size
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%s is written %s, which reads as %d, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1.5MB", "1 MB", "1mb", "1TB", "1iB", "1BB", "1MiBB", "8589934592GB", "9223372036854775808"} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q reads as %d", text, got)
		}
	}
}

func FuzzSize(f *testing.F) {
	f.Add([]byte("64KiB"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var size Size
		if size.UnmarshalText(text) != nil {
			return
		}
		var again Size
		if err := again.UnmarshalText([]byte(size.String())); err != nil || again != size || size < 0 {
			t.Errorf("%q is %d, written %s, which reads as %d, %v", text, size, size, again, err)
		}
	})
}
