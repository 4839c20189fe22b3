package driver

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
)

// classEncoding is the class of an answer that cannot be decompressed.
const classEncoding = "content encoding"

// maxDecoded bounds an answer's decompressed body, in bytes: a few bytes may stand for
// any number.
const maxDecoded = 64 << 20

// compressed reports whether the answer came so.
func (x *httpExchange) compressed() bool {
	return x.driver.gzip && strings.EqualFold(x.answer.Header.Get("Content-Encoding"), "gzip")
}

// decompress puts what the body holds in its place.
func (x *httpExchange) decompress() error {
	if x.size > len(x.kept) {
		return fmt.Errorf("a compressed body of %d bytes; at most %d are looked at", x.size, maxChecked)
	}
	if x.size == 0 {
		return nil // of a HEAD request, or a 304
	}
	from, err := gzip.NewReader(bytes.NewReader(x.kept))
	if err != nil {
		return fmt.Errorf("decompress the answer: %w", err)
	}
	var plain bytes.Buffer
	n, err := io.Copy(&plain, io.LimitReader(from, maxDecoded+1))
	switch {
	case err != nil:
		return fmt.Errorf("decompress the answer: %w", err)
	case n > maxDecoded:
		return fmt.Errorf("decompress the answer: more than %d bytes", maxDecoded)
	}
	x.rec.Add(httpBytesDecoded, n)
	x.kept, x.size = plain.Bytes(), int(n)
	return nil
}
