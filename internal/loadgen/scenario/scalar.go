package scenario

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// text is a scalar's text with the environment expanded; expanded says that it
// was, so that the YAML type of what stood there means nothing any more.
func (d *decoder) text(n ast.Node, at place, path string) (text string, expanded, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, false, true
	default:
		return "", false, false
	}
	d.texts[path] = text
	text, expanded, faults := expand(text, d.env)
	for _, f := range faults {
		d.problem(d.find(f.at, at), path, "%s", f.message)
	}
	return text, expanded, len(faults) == 0
}

// find is where text stands in the source at or after p; p where it is not found.
func (d *decoder) find(text string, p place) place {
	for line := p.line; line <= len(d.lines) && line < p.line+200; line++ {
		source, skip := d.lines[line-1], 0
		if line == p.line {
			chars := []rune(source)
			skip = min(max(p.column-1, 0), len(chars))
			source = string(chars[skip:])
		}
		if i := strings.Index(source, text); i >= 0 {
			return place{line, skip + len([]rune(source[:i])) + 1}
		}
	}
	return p
}

// scalar decodes n into v, which is a TextUnmarshaler, text, a number or a bool.
func (d *decoder) scalar(n ast.Node, at place, v reflect.Value, path string) {
	form := formOf(v.Type())
	text, expanded, ok := d.text(n, at, path)
	if !ok {
		if !d.bad[path] {
			d.problem(placeOf(n), path, "want %s, found %s", form, describe(n))
		}
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			d.problem(at, path, "%s", err)
		}
		return
	}
	_, isText := n.(*ast.StringNode)
	if _, block := n.(*ast.LiteralNode); block {
		isText = true
	}
	if v.Kind() == reflect.String {
		d.setText(n, at, v, path, text, isText)
		return
	}
	if isText && !expanded && !isPlain(n) {
		d.problem(at, path, "want %s, found %s", form, describe(n))
		return
	}
	if err := setNumber(v, n, text, expanded); err != nil {
		found := describe(n)
		if expanded {
			found = strconv.Quote(text)
		}
		d.problem(at, path, "want %s, found %s", form, found)
	}
}

// isPlain reports whether n stands without quotes: YAML's number 1e3 is text to
// the parser.
func isPlain(n ast.Node) bool {
	s, ok := n.(*ast.StringNode)
	return ok && s.Token != nil && s.Token.Type == token.StringType
}

func (d *decoder) setText(n ast.Node, at place, v reflect.Value, path, text string, isText bool) {
	known := enumOf(v.Type())
	if known == nil && !isText {
		d.problem(at, path, "want text, found %s; put it in quotes", describe(n))
		return
	}
	for _, k := range known {
		if text == k {
			known = nil
			break
		}
	}
	if known != nil {
		d.problem(at, path, "unknown value %q%s", text, suggest(text, known))
		return
	}
	v.SetString(text)
}

// looseText decodes a scalar of any type as the text that stands there, for
// header values: "X-Sim-Seed: 7".
func (d *decoder) looseText(n ast.Node, v reflect.Value, path string) {
	if n != nil {
		if resolved, ok := d.resolve(n, path); !ok {
			return
		} else if _, null := resolved.(*ast.NullNode); !null {
			d.values[path] = placeOf(n)
			text, _, ok := d.text(resolved, placeOf(n), path)
			if ok {
				v.SetString(text)
			} else if !d.bad[path] {
				d.problem(placeOf(n), path, "want text, found %s", describe(resolved))
			}
			return
		}
	}
	d.problem(d.keys[path], path, `no value: give one ("" for an empty one), or leave the key out`)
}

// setNumber parses text into v by v's kind.
func setNumber(v reflect.Value, n ast.Node, text string, expanded bool) error {
	if i, ok := n.(*ast.IntegerNode); ok && !expanded { // in any of YAML's notations
		text = fmt.Sprint(i.Value)
	}
	switch v.Kind() {
	case reflect.Int:
		i, err := strconv.ParseInt(text, 10, 0)
		v.SetInt(i)
		return err
	case reflect.Uint64:
		u, err := strconv.ParseUint(text, 10, 64)
		v.SetUint(u)
		return err
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
			err = strconv.ErrRange
		}
		v.SetFloat(f)
		return err
	case reflect.Bool:
		b := text == "true"
		v.SetBool(b)
		if !b && text != "false" {
			return strconv.ErrSyntax
		}
		return nil
	}
	return fmt.Errorf("no scalar of type %s", v.Type())
}
