package functions

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/edgeload/edgeload/internal/refserver/retry"
)

// policyField is a retry policy in a JSON body: its text form as a string, or an
// object with the same keys and "kind".
type policyField struct{ retry.Policy }

// UnmarshalJSON reads either form.
func (p *policyField) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return p.UnmarshalText([]byte(text))
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return errors.New(`policy: want a string such as "full:base=100ms", or an object with kind`)
	}
	kind, pairs := "", []string(nil)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		var value string
		if json.Unmarshal(fields[key], &value) != nil {
			value = string(fields[key]) // a number, or true or false
		}
		if key == "kind" {
			kind = value
		} else {
			pairs = append(pairs, key+"="+value)
		}
	}
	if len(pairs) > 0 {
		kind += ":" + strings.Join(pairs, ",")
	}
	return p.UnmarshalText([]byte(kind))
}

// readJSON reads a request's body of at most limit bytes into v.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return fmt.Errorf("read the request body: %w", err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("read the request body as JSON: %w", err)
	}
	return nil
}

// writeJSON answers with a status and a JSON body.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // the answers are structs that can be encoded
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has left: nobody to tell
}
