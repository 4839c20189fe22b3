package result

import (
	_ "embed" // for the source below
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// typesSource and resourcesSource are the files that declare the format's types;
// their doc comments are the schema's descriptions.
var (
	//go:embed result.go
	typesSource string
	//go:embed resources.go
	resourcesSource string
)

// Schema is the JSON Schema (draft 2020-12) of a result file, generated from
// the types of this package and their doc comments.
func Schema() ([]byte, error) {
	own := make(map[string]string)
	for _, source := range []string{typesSource, resourcesSource} {
		docs, err := scenario.DocComments(source)
		if err != nil {
			return nil, fmt.Errorf("read the doc comments for the schema: %w", err)
		}
		maps.Copy(own, docs)
	}
	scenarios, err := scenario.Docs()
	if err != nil {
		return nil, err
	}
	scenarioPkg := reflect.TypeFor[scenario.Scenario]().PkgPath()
	r := &jsonschema.Reflector{
		Anonymous:      true,
		ExpandedStruct: true,
		// Later versions of the program may add fields to this version of the file.
		AllowAdditionalProperties: true,
		Namer: func(t reflect.Type) string {
			if t.PkgPath() == scenarioPkg && t != reflect.TypeFor[scenario.Scenario]() {
				return "Scenario" + t.Name() // both packages have a Workload
			}
			return t.Name()
		},
		Mapper: notation,
		LookupComment: func(t reflect.Type, field string) string {
			docs, key := own, t.Name()
			if t.PkgPath() == scenarioPkg {
				docs = scenarios
			}
			if field != "" {
				key += "." + field
			}
			return docs[key]
		},
	}
	s := r.Reflect(&Result{})
	s.Title = "edgeload result"
	s.Description = own["Result"]
	if v, ok := s.Properties.Get("version"); ok {
		v.Const = Version
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(b, '\n'), nil
}

// notation is the schema of a type that is not written as its Go kind says.
func notation(t reflect.Type) *jsonschema.Schema {
	enum := func(values ...any) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Enum: values} }
	switch t {
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Type: "integer"}
	case reflect.TypeFor[Kind]():
		return enum(Histogram, Counter, Ratio, Scalar)
	case reflect.TypeFor[Unit]():
		return enum(Nanoseconds, Bytes, One)
	case reflect.TypeFor[State]():
		return enum(Valid, Degraded, Invalid)
	case reflect.TypeFor[Outcome]():
		return enum(Pass, Fail, NoData)
	}
	return scenario.Notation(t)
}
