package result

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestSchema(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	schema := compiled(t, b)
	encoded, err := sample(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(decoded(t, encoded)); err != nil {
		t.Errorf("a result does not satisfy its schema: %v", err)
	}
	for from, to := range map[string]string{
		`"version": 1`:        `"version": 2`,
		`"kind": "histogram"`: `"kind": "heap"`,
		`"count": 1000`:       `"count": "many"`,
		`"state": "VALID"`:    `"state": "FINE"`,
	} {
		spoilt := bytes.Replace(encoded, []byte(from), []byte(to), 1)
		if bytes.Equal(spoilt, encoded) {
			t.Fatalf("the sample holds no %s", from)
		}
		if schema.Validate(decoded(t, spoilt)) == nil {
			t.Errorf("%s satisfies the schema", to)
		}
	}
	// Every field says what it is.
	for _, want := range []string{"the whole run, warm-up and drain included", "longest stop-the-world pause", "is the base URL"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the schema does not say %q", want)
		}
	}
}

func compiled(t *testing.T, schema []byte) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	if err := c.AddResource("result.json", decoded(t, schema)); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("result.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decoded(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
