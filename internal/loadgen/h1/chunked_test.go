package h1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

// decode feeds body in pieces of the given size and returns what came out, what
// was left over, and whether the body ended.
func decode(body []byte, size int) (out []byte, rest int, done bool, err error) {
	var d chunked
	for begin := 0; begin < len(body); begin += size {
		p := body[begin:min(begin+size, len(body))]
		for len(p) > 0 {
			n, data, ended, err := d.next(p)
			out = append(out, data...)
			if err != nil || ended {
				return out, len(p) - n + len(body) - min(begin+size, len(body)), ended, err
			}
			if n == 0 {
				return out, 0, false, errors.New("no progress")
			}
			p = p[n:]
		}
	}
	return out, 0, false, nil
}

func TestChunked(t *testing.T) {
	for _, tt := range []struct {
		name, body, want string
		rest             int
		done             bool
		err              error
	}{
		{"plain", "3\r\nabc\r\n0\r\n\r\n", "abc", 0, true, nil},
		{"two", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde", 0, true, nil},
		{"capital and leading zeros", "00A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0, true, nil},
		{"extension", "3;a=b\r\nabc\r\n0;c\r\n\r\n", "abc", 0, true, nil},
		{"blank before the line end", "3 \r\nabc\r\n0\r\n\r\n", "abc", 0, true, nil},
		{"trailers", "3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n", "abc", 0, true, nil},
		{"something behind", "0\r\n\r\nHTTP/1.1", "", 8, true, nil},
		{"cut in the data", "3\r\nab", "ab", 0, false, nil},
		{"cut before the trailers' end", "3\r\nabc\r\n0\r\n", "abc", 0, false, nil},
		{"no digits", "\r\nabc", "", 5, false, errChunkSize},
		{"not hex", "3x\r\nabc", "", 6, false, errChunkSize},
		{"too many digits", strings.Repeat("0", 17) + "\r\n", "", 3, false, errChunkSize},
		{"line of LF alone", "3\nabc", "", 4, false, errChunkSize},
		{"CR within the extension", "3;a\rb\r\nabc", "", 6, false, errChunkSize},
		{"data too long", "3\r\nabcd\r\n", "abc", 3, false, errChunkEnd},
		{"LF alone after the data", "3\r\nabc\n0\r\n\r\n", "abc", 6, false, errChunkEnd},
		{"blank within the digits", "3 0\r\nabc", "", 7, false, errChunkSize},
		{"trailer of LF alone", "0\r\na: b\n\r\n", "", 2, false, errTrailer},
		{"endless extension", "3;" + strings.Repeat("a", maxChunkLine+1), "", 0, false, errChunkLine},
		{"endless trailers", "0\r\n" + strings.Repeat("a: b\r\n", maxTrailers/6+1), "", 6, false, errChunkLine},
	} {
		for _, size := range []int{1, 2, 3, 7, 1 << 20} {
			t.Run(fmt.Sprintf("%s by %d", tt.name, size), func(t *testing.T) {
				out, rest, done, err := decode([]byte(tt.body), size)
				if string(out) != tt.want || done != tt.done || !errors.Is(err, tt.err) {
					t.Errorf("%q, done %v, %v; want %q, %v, %v", out, done, err, tt.want, tt.done, tt.err)
				}
				if tt.done && rest != tt.rest {
					t.Errorf("%d bytes left over, want %d", rest, tt.rest)
				}
			})
		}
	}
}

// However a body is cut up, the same comes out, and it is what net/http's own
// reader makes of it. That reader stops before the trailers.
func FuzzChunked(f *testing.F) {
	for _, seed := range []string{
		"3\r\nabc\r\n0\r\n\r\n", "3;x=y\r\nabc\r\n1\r\n\n\r\n0\r\nA: b\r\n\r\n", "a\r\n0123456789\r\n0\r\n\r\nrest", "", "0\r\n\r\n", "3\nabc", "fffffffff\r\n", "3\r\nabcd",
	} {
		f.Add([]byte(seed), 1)
	}
	f.Fuzz(func(t *testing.T, body []byte, size int) {
		if size < 1 || size > 1<<16 {
			size = 1
		}
		whole, rest, done, err := decode(body, max(1, len(body)))
		pieces, restOfPieces, doneInPieces, errInPieces := decode(body, size)
		if !bytes.Equal(whole, pieces) || done != doneInPieces || done && rest != restOfPieces || (err == nil) != (errInPieces == nil) {
			t.Fatalf("%q whole: %q, %d, %v, %v; by %d: %q, %d, %v, %v", body, whole, rest, done, err, size, pieces, restOfPieces, doneInPieces, errInPieces)
		}
		theirs, theirErr := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(body)))
		if done && (theirErr != nil || !bytes.Equal(theirs, whole)) {
			t.Fatalf("%q: %q, net/http %q, %v", body, whole, theirs, theirErr)
		}
		if theirErr == nil && (err != nil || !bytes.Equal(theirs, whole)) && !errors.Is(err, errChunkLine) && !errors.Is(err, errTrailer) {
			t.Fatalf("%q: %q, %v, net/http %q", body, whole, err, theirs)
		}
	})
}

func TestChunkedAllocatesNothing(t *testing.T) {
	body := []byte("24\r\n" + strings.Repeat("x", 0x24) + "\r\n")
	var d chunked
	if n := testing.AllocsPerRun(100, func() {
		for p := body; len(p) > 0; {
			n, _, _, err := d.next(p)
			if err != nil {
				t.Fatal(err)
			}
			p = p[n:]
		}
	}); n != 0 {
		t.Errorf("%v allocations a chunk", n)
	}
}
