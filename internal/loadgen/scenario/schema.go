package scenario

import (
	"embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

// typesSource is the files that declare the format's types. They travel in the
// binary so that the schema's descriptions are their doc comments, wherever the
// binary runs, and cannot differ from them.
//
//go:embed scenario.go background.go cronjob.go environment.go mix.go retry.go room.go session.go sink.go step.go stream.go trace.go
var typesSource embed.FS

// envPattern is a scalar that the environment fills in: its notation can only be
// checked once it is expanded.
const envPattern = `\$\{`

// Schema is the JSON Schema (draft 2020-12) of a scenario file, generated from
// the types of this package and their doc comments. It is made for editors:
// what needs more than one value at a time, or another file, only ReadFile finds.
func Schema() ([]byte, error) {
	docs, err := Docs()
	if err != nil {
		return nil, err
	}
	r := &jsonschema.Reflector{
		Anonymous:      true,
		ExpandedStruct: true,
		FieldNameTag:   "yaml",
		Mapper:         Notation,
		LookupComment: func(t reflect.Type, field string) string {
			if t.Name() == "" {
				return ""
			}
			return docs[join(t.Name(), field)]
		},
	}
	s := r.Reflect(&Scenario{})
	s.Title = "edgeload scenario"
	s.Description = docs["Scenario"]
	constrain(s)
	for _, def := range s.Definitions {
		allowEnv(def)
	}
	allowEnv(s)
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&") // escapes that only HTML needs
	return []byte(plain.Replace(string(out)) + "\n"), nil
}

// Docs are the doc comments of this package's types, as DocComments reads them.
func Docs() (map[string]string, error) {
	all := make(map[string]string)
	err := fs.WalkDir(typesSource, ".", func(path string, file fs.DirEntry, err error) error {
		if err != nil || file.IsDir() {
			return err
		}
		source, err := typesSource.ReadFile(path)
		if err != nil {
			return err
		}
		docs, err := DocComments(string(source))
		maps.Copy(all, docs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the doc comments for the schema: %w", err)
	}
	return all, nil
}

// DocComments reads the comments of struct types ("Load") and their fields
// ("Load.Rate") from Go source, each as one line.
func DocComments(source string) (map[string]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "scenario.go", source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	docs := make(map[string]string)
	note := func(name string, groups ...*ast.CommentGroup) {
		for _, g := range groups {
			if text := strings.Join(strings.Fields(g.Text()), " "); text != "" {
				docs[name] = text
				return
			}
		}
	}
	for _, decl := range file.Decls {
		types, ok := decl.(*ast.GenDecl)
		if !ok || types.Tok != token.TYPE {
			continue
		}
		for _, spec := range types.Specs {
			t, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			note(t.Name.Name, t.Doc, types.Doc)
			fields, ok := t.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range fields.Fields.List {
				for _, name := range f.Names {
					note(t.Name.Name+"."+name.Name, f.Doc, f.Comment)
				}
			}
		}
	}
	return docs, nil
}

// Notation is the schema of a type of this package that is written as text, nil
// for any other.
func Notation(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: durationPattern, Examples: []any{"800ms", "30s", "1m30s"}}
	case reflect.TypeFor[Rate]():
		return &jsonschema.Schema{Type: "string", Pattern: ratePattern, Examples: []any{"50/s", "600/m", "10/h"}}
	case reflect.TypeFor[SizeDist]():
		return &jsonschema.Schema{Type: "string", Pattern: sizePattern, Examples: []any{"256B", "uniform:100B,4KiB", "lognormal:512B,0.8"}}
	case reflect.TypeFor[ByteRate]():
		return &jsonschema.Schema{Type: "string", Pattern: byteRatePattern, Examples: []any{"4KiB/s", "1MB/s"}}
	case reflect.TypeFor[TimeDist]():
		return &jsonschema.Schema{Type: "string", Pattern: distPattern(oneTime), Examples: []any{"300ms", "uniform:100ms,500ms", "lognormal:200ms,0.5"}}
	case reflect.TypeFor[CountDist]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "0"},
			{Type: "string", Pattern: distPattern(oneCount), Examples: []any{"uniform:2,8", "lognormal:100,0.6"}},
			{Type: "string", Pattern: envPattern},
		}}
	case reflect.TypeFor[Reply]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "200", Maximum: "599"},
			{Type: "string", Pattern: replyPattern, Examples: []any{"429,retry-after:2s", "reset"}},
			{Type: "string", Pattern: envPattern},
		}}
	case reflect.TypeFor[Share]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "number", Minimum: "0", Maximum: "1"},
			{Type: "string", Pattern: sharePattern, Examples: []any{"10%"}},
			{Type: "string", Pattern: envPattern},
		}}
	case reflect.TypeFor[Environment]():
		return &jsonschema.Schema{Type: "object"}
	case reflect.TypeFor[SourceRange]():
		return &jsonschema.Schema{Type: "string", Pattern: sourcePattern, Examples: []any{"127.0.0.2", "127.0.0.16/28"}}
	case reflect.TypeFor[Threshold]():
		return &jsonschema.Schema{Type: "string", Pattern: thresholdPattern, Examples: []any{"p(95) < 800ms", "rate < 1%", "value == 1"}}
	}
	switch t {
	case reflect.TypeFor[Statuses]():
		s := Notation(reflect.TypeFor[Status]())
		one := uint64(1)
		s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Type: "array", Items: Notation(reflect.TypeFor[Status]()), MinItems: &one})
		return s
	case reflect.TypeFor[Status]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "200", Maximum: "599"},
			{Type: "string", Pattern: statusPattern, Examples: []any{"2xx"}},
			{Type: "string", Pattern: envPattern},
		}}
	case reflect.TypeFor[JSONPath]():
		return &jsonschema.Schema{Type: "string", Pattern: `^\$`, Examples: []any{"$.items[0].id", "$['a name']", "$.list[*].status"}}
	case reflect.TypeFor[Literal]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
	}
	if values := enumOf(t); values != nil {
		s := &jsonschema.Schema{Type: "string"}
		for _, v := range values {
			s.Enum = append(s.Enum, v)
		}
		return s
	}
	return nil
}

// constrain adds what the types do not say: patterns of names, ranges, and which
// keys go together.
func constrain(s *jsonschema.Schema) {
	one := uint64(1)
	set := func(owner *jsonschema.Schema, key string, change func(*jsonschema.Schema)) {
		if p, ok := owner.Properties.Get(key); ok {
			change(p)
		}
	}
	atLeast := func(n json.Number) func(*jsonschema.Schema) {
		return func(p *jsonschema.Schema) { p.Minimum = n }
	}
	set(s, "version", func(p *jsonschema.Schema) { p.Enum = []any{1} })
	set(s, "name", func(p *jsonschema.Schema) { p.Pattern = namePattern })
	set(s, "target", func(p *jsonschema.Schema) { p.Pattern = `^https?://` })
	set(s, "seed", atLeast("0"))
	set(s, "workloads", func(p *jsonschema.Schema) {
		p.PropertyNames = &jsonschema.Schema{Pattern: workloadPattern}
		p.MinProperties = &one
	})
	set(s, "thresholds", func(p *jsonschema.Schema) {
		p.PropertyNames = &jsonschema.Schema{Pattern: strings.TrimSuffix(workloadPattern, "$") + `\..+$`}
		p.AdditionalProperties.MinItems = &one
	})
	set(s.Definitions["Sink"], "upstreams", func(p *jsonschema.Schema) {
		p.PropertyNames = &jsonschema.Schema{Pattern: workloadPattern}
	})
	upstream := s.Definitions["Upstream"]
	set(upstream, "replies", func(p *jsonschema.Schema) { p.MinItems = &one })
	set(upstream, "odds", func(p *jsonschema.Schema) {
		p.PropertyNames = &jsonschema.Schema{Pattern: replyPattern}
		p.MinProperties = &one
	})
	upstream.Not = &jsonschema.Schema{Required: []string{"replies", "odds"}}
	load := s.Definitions["Load"]
	set(load, "users", atLeast("1"))
	set(load, "max_in_flight", atLeast("1"))
	set(load, "cv", func(p *jsonschema.Schema) { p.ExclusiveMinimum = "0" })
	set(load, "stages", func(p *jsonschema.Schema) { p.MinItems = &one })
	load.OneOf = []*jsonschema.Schema{
		{Required: []string{"rate"}, Not: anyOf("ramp", "think")},
		{Required: []string{"stages"}, Not: anyOf("ramp", "think")},
		{Required: []string{"sine"}, Not: anyOf("ramp", "think")},
		{Required: []string{"trace"}, Not: anyOf("ramp", "think", "arrivals", "cv", "shape", "session")},
		{Required: []string{"weight"}, Not: anyOf("ramp", "think")},
		{Required: []string{"users"}, Not: anyOf("arrivals", "cv", "max_in_flight")},
	}
	gamma := &jsonschema.Schema{Properties: jsonschema.NewProperties(), Required: []string{"arrivals"}}
	gamma.Properties.Set("arrivals", &jsonschema.Schema{Const: string(ArrivalsGamma)})
	load.If, load.Then = gamma, &jsonschema.Schema{Required: []string{"cv"}}
	set(load, "weight", func(p *jsonschema.Schema) { p.ExclusiveMinimum, p.Maximum = "0", json.Number(strconv.Itoa(maxWeight)) })
	mix := s.Definitions["Mix"]
	mix.OneOf, mix.If, mix.Then = oneOf("rate", "stages", "sine"), load.If, load.Then
	set(mix, "cv", func(p *jsonschema.Schema) { p.ExclusiveMinimum = "0" })
	set(mix, "stages", func(p *jsonschema.Schema) { p.MinItems = &one })
	set(s.Definitions["Trace"], "speed", func(p *jsonschema.Schema) { p.ExclusiveMinimum = "0" })
	set(s.Definitions["Trace"], "limit", atLeast("1"))

	set(s.Definitions["Workload"], "source", func(p *jsonschema.Schema) { p.MinItems = &one })
	set(s.Definitions["Connect"], "at_once", atLeast("1"))
	s.Definitions["Workload"].AllOf = []*jsonschema.Schema{whenProtocol(SSE), whenProtocol(WebSocket), whenProtocol(HTTP), whenProtocol(Background), whenProtocol(Cron), whenProtocol(Retry)}
	set(s.Definitions["Workload"], "follow_redirects", func(p *jsonschema.Schema) { p.Minimum, p.Maximum = "0", json.Number(strconv.Itoa(maxRedirects)) })

	set(s.Definitions["Workload"], "checks", func(p *jsonschema.Schema) { p.MinItems = &one })
	set(s.Definitions["Workload"], "steps", func(p *jsonschema.Schema) { p.MinItems = &one })
	set(s.Definitions["Step"], "name", func(p *jsonschema.Schema) { p.Pattern = workloadPattern })
	s.Definitions["Check"].OneOf = oneOf("status", "header", "json", "body")
	atMostOne := oneOf("equals", "contains", "matches", "absent")
	none := &jsonschema.Schema{Not: anyOf("equals", "contains", "matches", "absent")}
	s.Definitions["HeaderCheck"].OneOf = append(atMostOne, none)
	s.Definitions["JSONCheck"].OneOf = append(atMostOne, none)
	s.Definitions["BodyCheck"].OneOf = oneOf("equals", "contains", "matches")
	set(s.Definitions["HeaderCheck"], "name", func(p *jsonschema.Schema) { p.Pattern = tokenPattern })
	for _, def := range []string{"HeaderCheck", "JSONCheck", "BodyCheck"} {
		for _, key := range []string{"contains", "matches"} {
			set(s.Definitions[def], key, func(p *jsonschema.Schema) { p.MinLength = &one })
		}
	}

	s.Definitions["Extract"].OneOf = oneOf("header", "json")
	set(s.Definitions["Workload"], "extract", func(p *jsonschema.Schema) { p.PropertyNames = &jsonschema.Schema{Pattern: varPattern} })
	correlation := s.Definitions["Correlation"]
	correlation.OneOf = append(oneOf("header", "query", "json"), &jsonschema.Schema{Not: anyOf("header", "query", "json")})
	set(correlation, "query", func(p *jsonschema.Schema) { p.MinLength = &one })
	s.Definitions["Job"].Not = &jsonschema.Schema{Required: []string{"callback", "poll"}}
	for _, def := range []string{"Extract", "Correlation"} {
		set(s.Definitions[def], "header", func(p *jsonschema.Schema) { p.Pattern = tokenPattern })
	}

	header := func(p *jsonschema.Schema) {
		p.PropertyNames = &jsonschema.Schema{Pattern: tokenPattern}
		p.AdditionalProperties = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
	}
	path := func(p *jsonschema.Schema) { p.Pattern = `^(/|\$\{)` }
	for _, def := range []string{"Request", "Room"} {
		set(s.Definitions[def], "headers", header)
		set(s.Definitions[def], "path", path)
	}
	set(s.Definitions["Poll"], "request", func(p *jsonschema.Schema) {
		p.Description += " Its path may be one that the answer gave: {{ .Vars.name }}."
	})
	set(s.Definitions["Request"], "path", func(p *jsonschema.Schema) { p.Pattern = `^(/|\$\{|\{\{)` })
	room := s.Definitions["Room"]
	set(room, "members", atLeast("2"))
	set(room, "publishers", atLeast("1"))
	set(room, "stalled", atLeast("0"))
	set(room, "subprotocols", func(p *jsonschema.Schema) { p.MinItems = &one })
	set(s.Definitions["Slow"], "members", atLeast("1"))
	set(s.Definitions["Envelope"], "joined", func(p *jsonschema.Schema) { p.MinLength = &one })
	set(s.Definitions["AutoReply"], "on", func(p *jsonschema.Schema) { p.MinLength = &one })
}

// anyOf matches an object that has at least one of the keys.
func anyOf(keys ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{}
	for _, key := range keys {
		s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Required: []string{key}})
	}
	return s
}

// oneOf matches an object that has exactly one of the keys.
func oneOf(keys ...string) []*jsonschema.Schema {
	var all []*jsonschema.Schema
	for _, key := range keys {
		all = append(all, &jsonschema.Schema{Required: []string{key}})
	}
	return all
}

// whenProtocol says which keys a workload of protocol p must and must not have.
func whenProtocol(p Protocol) *jsonschema.Schema {
	is := &jsonschema.Schema{Properties: jsonschema.NewProperties(), Required: []string{"protocol"}}
	is.Properties.Set("protocol", &jsonschema.Schema{Const: string(p)})
	var mustNot []string
	for key, protocols := range protocolsOf() {
		if !slices.Contains(protocols, p) {
			mustNot = append(mustNot, key)
		}
	}
	slices.Sort(mustNot)
	then := &jsonschema.Schema{Required: requiredBy(p), Not: anyOf(mustNot...)}
	switch p {
	case WebSocket:
		load := &jsonschema.Schema{Required: []string{"users"}, Not: anyOf("think", "session", "shape")}
		then.Properties = jsonschema.NewProperties()
		then.Properties.Set("load", load)
	case HTTP:
		then.OneOf = oneOf("request", "steps", "targets")
	}
	return &jsonschema.Schema{If: is, Then: then}
}

// allowEnv lets every scalar of an object, other than free text, be left to the
// environment.
func allowEnv(object *jsonschema.Schema) {
	if object.Properties == nil {
		return
	}
	for pair := object.Properties.Oldest(); pair != nil; pair = pair.Next() {
		p := pair.Value
		for _, inner := range []*jsonschema.Schema{p.Items, p.AdditionalProperties} {
			if inner != nil && inner.Items != nil {
				inner.Items = orEnv(inner.Items)
			}
		}
		pair.Value = orEnv(p)
	}
}

func orEnv(s *jsonschema.Schema) *jsonschema.Schema {
	scalar := slices.Contains([]string{"string", "integer", "number", "boolean"}, s.Type)
	if !scalar || s.Type == "string" && s.Pattern == "" && s.Enum == nil {
		return s
	}
	outer := &jsonschema.Schema{Description: s.Description}
	s.Description = ""
	outer.AnyOf = []*jsonschema.Schema{s, {Type: "string", Pattern: envPattern}}
	return outer
}
