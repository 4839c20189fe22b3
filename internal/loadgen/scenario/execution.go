package scenario

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"text/template"
)

// An execution is one goroutine's use of a template: the copy of it whose
// functions draw from this execution's source, and the output so far.
type execution struct {
	template *template.Template
	rng      *rand.Rand
	out      []byte
	limit    int // length that out may have
}

func newExecution(t *template.Template) (*execution, error) {
	own, err := t.Clone()
	if err != nil {
		return nil, err
	}
	e := &execution{}
	e.template = own.Funcs(e.functions())
	return e, nil
}

func (e *execution) begin(dst []byte, source rand.Source) {
	e.rng = rand.New(source)
	e.out, e.limit = dst, len(dst)+maxOutput
}

func (e *execution) end() []byte {
	out := e.out
	e.out, e.rng = nil, nil
	return out
}

// Write takes the template's output.
func (e *execution) Write(p []byte) (int, error) {
	if len(e.out)+len(p) > e.limit {
		return 0, fmt.Errorf("the text grows above %d bytes", maxOutput)
	}
	e.out = append(e.out, p...)
	return len(p), nil
}

func (e *execution) functions() template.FuncMap {
	return template.FuncMap{
		"json":     toJSON,
		"upper":    strings.ToUpper,
		"lower":    strings.ToLower,
		"randInt":  e.randInt,
		"randText": e.randText,
		"randHex":  e.randHex,
		"uuid":     e.uuid,
	}
}

// toJSON is V as JSON without the escapes that only HTML needs.
func toJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func (e *execution) randInt(a, b int) (int, error) {
	if a > b {
		return 0, fmt.Errorf("randInt %d %d: the smaller number comes first", a, b)
	}
	if span := uint64(b) - uint64(a) + 1; span != 0 {
		return int(uint64(a) + e.rng.Uint64N(span)), nil
	}
	return int(e.rng.Uint64()), nil
}

func (e *execution) randText(n int) (string, error) {
	if n < 0 || n > maxRandom {
		return "", fmt.Errorf("randText %d: want a length from 0 to %d", n, maxRandom)
	}
	return drawText(e.rng, n), nil
}

func (e *execution) randHex(n int) (string, error) {
	if n < 0 || n > maxRandom {
		return "", fmt.Errorf("randHex %d: want a length from 0 to %d", n, maxRandom)
	}
	return hex.EncodeToString(e.bytes(n/2 + 1))[:n], nil
}

// uuid is a random UUID, version 4 (RFC 9562).
func (e *execution) uuid() string {
	b := e.bytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func (e *execution) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(e.rng.Uint32())
	}
	return b
}
