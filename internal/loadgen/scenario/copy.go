package scenario

import (
	"maps"
	"reflect"
)

// redactedCopy is a deep copy of v, a value of the format, in which text goes through
// scrub, headers and keys that carry credentials have no values, and neither have
// such parameters of paths and addresses. Field is the name of what v stands in.
func redactedCopy(v reflect.Value, field string, scrub func(string) string) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.String:
		if t := v.Type(); t != reflect.TypeFor[string]() && t != reflect.TypeFor[Literal]() {
			break // one of a few known words
		}
		text := v.String()
		switch {
		case field == "Path" || field == "URL":
			text = redactQuery(text)
		case Secret(field) && text != "":
			text = redactedValue
		}
		out.SetString(scrub(text))
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(redactedCopy(v.Elem(), field, scrub))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(redactedCopy(v.Index(i), field, scrub))
			}
		}
	case reflect.Map:
		if v.IsNil() {
			break
		}
		from := v
		if headers, ok := v.Interface().(map[string]string); ok && field == "Headers" {
			from = reflect.ValueOf(redactHeaders(maps.Clone(headers)))
		}
		out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for entries := from.MapRange(); entries.Next(); {
			out.SetMapIndex(entries.Key(), redactedCopy(entries.Value(), "", scrub))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				out.Field(i).Set(redactedCopy(v.Field(i), f.Name, scrub))
			}
		}
	}
	return out
}
