package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A document is one YAML document with the lines it was read from.
type document struct {
	file  string
	lines []string
	root  ast.Node
}

// A place is where something stands, both from 1.
type place struct{ line, column int }

// at makes a problem with the document's line at p.
func (doc *document) at(p place, path, message string) Problem {
	p.line = min(max(p.line, 1), max(len(doc.lines), 1))
	p.column = max(p.column, 1)
	problem := Problem{File: doc.file, Line: p.line, Column: p.column, Path: path, Message: message}
	if p.line <= len(doc.lines) {
		problem.Source = doc.lines[p.line-1]
	}
	return problem
}

// readYAML turns src into one document, or says why it is none.
func readYAML(file string, src []byte) (*document, Problems) {
	doc := &document{file: file}
	fail := func(p place, format string, args ...any) (*document, Problems) {
		return nil, Problems{doc.at(p, "", fmt.Sprintf(format, args...))}
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	src = bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	src = bytes.ReplaceAll(src, []byte("\r"), []byte("\n"))
	doc.lines = strings.Split(strings.ToValidUTF8(string(src), "�"), "\n")
	if len(src) > maxSource {
		return fail(place{}, "the file is larger than %s", formatSize(maxSource))
	}
	if p, what := unreadable(src); what != "" {
		return fail(p, "not YAML: %s", what)
	}
	if len(bytes.TrimSpace(src)) == 0 {
		return fail(place{}, "the file is empty")
	}
	if tabs := doc.tabs(); len(tabs) > 0 {
		return nil, tabs
	}
	if p, deep := doc.tooDeep(); deep {
		return fail(p, "not YAML that can be read: nested more than %d deep", maxNesting)
	}
	parsed, problem := doc.parse(src)
	if problem != nil {
		return nil, Problems{*problem}
	}
	var bodies []*ast.DocumentNode
	for _, d := range parsed.Docs {
		if _, directive := d.Body.(*ast.DirectiveNode); d.Body != nil && !directive {
			bodies = append(bodies, d)
		}
	}
	switch {
	case len(bodies) == 0:
		return fail(place{}, "the file is empty: it holds nothing but comments")
	case len(bodies) > 1:
		p := placeOf(bodies[1].Body)
		if bodies[1].Start != nil {
			p = placeOfToken(bodies[1].Start)
		}
		return fail(p, "a second document begins here; a scenario file holds one")
	}
	doc.root = bodies[0].Body
	if _, ok := entriesOf(doc.root); !ok {
		return fail(placeOf(doc.root), "not a scenario: want keys and values such as \"version: 1\", found %s", describe(doc.root))
	}
	return doc, nil
}

// parse runs the YAML parser. Duplicate keys are left to the decoder, which
// reports all of them.
func (doc *document) parse(src []byte) (file *ast.File, problem *Problem) {
	defer func() {
		if r := recover(); r != nil { // a defect of the parser on hostile input
			p := doc.at(place{}, "", fmt.Sprintf("not YAML that can be read: %v", r))
			file, problem = nil, &p
		}
	}()
	file, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err == nil {
		return file, nil
	}
	p, message := place{}, err.Error()
	var e yaml.Error
	if errors.As(err, &e) {
		message = e.GetMessage()
		if t := e.GetToken(); t != nil {
			p = placeOfToken(t)
		}
	}
	syntax := doc.at(p, "", "not YAML: "+message)
	if strings.Contains(syntax.Source, "${") {
		syntax.Message += "; between brackets, text with ${…} must stand in quotes"
	}
	return nil, &syntax
}

// unreadable finds the first byte that no YAML text has.
func unreadable(src []byte) (place, string) {
	p := place{line: 1, column: 1}
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return p, fmt.Sprintf("byte 0x%02x is no UTF-8 text", src[i])
		case r == '\n':
			p.line, p.column = p.line+1, 0
		case r < ' ' && r != '\t' || r == 0x7f:
			return p, fmt.Sprintf("control character 0x%02x", r)
		}
		p.column++
		i += size
	}
	return place{}, ""
}

// blockScalar matches a line that ends in the header of a block scalar.
var blockScalar = regexp.MustCompile(`(^|[\s:-]\s*)[|>][-+0-9]*\s*(\s#.*)?$`)

// tabs finds every line indented with a tab, which YAML forbids. The text of
// block scalars may hold tabs behind its indentation.
func (doc *document) tabs() Problems {
	var found Problems
	inBlock, blockIndent := false, 0
	for i, line := range doc.lines {
		text := strings.TrimLeft(line, " \t")
		if text == "" {
			continue
		}
		spaces := len(line) - len(strings.TrimLeft(line, " "))
		if inBlock && spaces > blockIndent {
			continue
		}
		inBlock = false
		if strings.HasPrefix(text, "#") {
			continue
		}
		if line[spaces] == '\t' {
			found = append(found, doc.at(place{i + 1, spaces + 1}, "", "a tab in the indentation; YAML takes spaces only"))
		}
		if blockScalar.MatchString(line) {
			inBlock, blockIndent = true, spaces
		}
	}
	return found
}

// maxNesting bounds brackets within brackets, which cost the parser more than
// their number.
const maxNesting = 200

// tooDeep counts brackets, wherever they stand.
func (doc *document) tooDeep() (place, bool) {
	depth := 0
	for i, line := range doc.lines {
		column := 0
		for _, r := range line {
			column++
			switch r {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(depth-1, 0)
			}
			if depth > maxNesting {
				return place{i + 1, column}, true
			}
		}
	}
	return place{}, false
}

func placeOfToken(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{t.Position.Line, max(t.Position.Column, 1)}
}

// placeOf is where a node begins; a block mapping begins at its first key.
func placeOf(n ast.Node) place {
	switch n := n.(type) {
	case nil:
		return place{1, 1}
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return placeOfToken(n.Values[0].Key.GetToken())
		}
	case *ast.MappingValueNode:
		return placeOfToken(n.Key.GetToken())
	}
	return placeOfToken(n.GetToken())
}

// entriesOf returns a mapping's entries, or false for anything else.
func entriesOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// describe names a node in a message: "the number 30", "a list".
func describe(n ast.Node) string {
	const longest = 40
	text := ""
	if t := n.GetToken(); t != nil {
		text = strings.TrimSpace(t.Value)
	}
	if s, ok := n.(*ast.StringNode); ok {
		text = s.Value
	}
	if r := []rune(text); len(r) > longest {
		text = string(r[:longest]) + "…"
	}
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + text
	case *ast.BoolNode:
		return text
	case *ast.StringNode:
		return fmt.Sprintf("the text %q", text)
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys and values"
	}
	return fmt.Sprintf("%q", text)
}
