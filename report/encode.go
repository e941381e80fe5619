package report

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"unsafe"

	"distproof/internal/once"
)

// An encoder writes values as WriteJSON would, but what pointers lead to only
// once, however many lead there: most of the text of a million connections is
// the same. Several goroutines may use it.
type encoder struct {
	types once.Table[reflect.Type, *structure]
}

// A structure is how a type of structs is written.
type structure struct {
	fields []structField
	// known has the texts of those that pointers lead to, by address and depth.
	known once.Table[placed, []byte]
	// odd says that it is left to encoding/json.
	odd bool
}

type structField struct {
	index int
	name  string // with quotes and a colon
	empty bool   // it is left out if it is empty
}

// A placed value is at a depth of the document.
type placed struct {
	at    unsafe.Pointer
	depth int
}

// maxCached is the longest text that is kept.
const maxCached = 16 << 10

var marshaler = reflect.TypeFor[json.Marshaler]()

func (e *encoder) structure(t reflect.Type) *structure {
	return e.types.Get(t, func() *structure {
		s := &structure{odd: t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler)}
		for i := range t.NumField() {
			f := t.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous || options != "" && options != "omitempty" {
				s.odd = true
			}
			if name == "-" || !f.IsExported() {
				continue
			}
			if name == "" {
				name = f.Name
			}
			s.fields = append(s.fields, structField{i, `"` + name + `": `, options == "omitempty"})
		}
		return s
	})
}

// newlines has a line break and the indentation of a depth.
var newlines = "\n" + strings.Repeat("  ", 32)

func appendLine(b []byte, depth int) []byte { return append(b, newlines[:1+2*depth]...) }

// append appends v, which is at the given depth.
func (e *encoder) append(b []byte, v reflect.Value, depth int) ([]byte, error) {
	switch v.Kind() {
	case reflect.String:
		return appendString(b, v.String())
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	case reflect.Pointer:
		return e.appendPointer(b, v, depth)
	case reflect.Struct:
		return e.appendStruct(b, v, depth)
	case reflect.Slice:
		return e.appendSlice(b, v, depth)
	}
	return appendOdd(b, v, depth)
}

func (e *encoder) appendPointer(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	if v.Elem().Kind() != reflect.Struct {
		return e.append(b, v.Elem(), depth)
	}
	known := &e.structure(v.Type().Elem()).known
	key := placed{v.UnsafePointer(), depth}
	if text, ok := known.Find(key); ok {
		return append(b, text...), nil
	}
	from := len(b)
	b, err := e.append(b, v.Elem(), depth)
	if err == nil && len(b)-from <= maxCached {
		known.Get(key, func() []byte { return bytes.Clone(b[from:]) })
	}
	return b, err
}

func (e *encoder) appendStruct(b []byte, v reflect.Value, depth int) (_ []byte, err error) {
	s := e.structure(v.Type())
	if s.odd {
		return appendOdd(b, v, depth)
	}
	b = append(b, '{')
	begun := false
	for _, f := range s.fields {
		field := v.Field(f.index)
		if f.empty && emptyValue(field) {
			continue
		}
		if begun {
			b = append(b, ',')
		}
		begun = true
		b = append(appendLine(b, depth+1), f.name...)
		if b, err = e.append(b, field, depth+1); err != nil {
			return b, err
		}
	}
	if begun {
		b = appendLine(b, depth)
	}
	return append(b, '}'), nil
}

func (e *encoder) appendSlice(b []byte, v reflect.Value, depth int) (_ []byte, err error) {
	switch {
	case v.Type().Elem().Kind() == reflect.Uint8:
		return appendOdd(b, v, depth)
	case v.IsNil():
		return append(b, "null"...), nil
	case v.Len() == 0:
		return append(b, "[]"...), nil
	}
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendLine(b, depth+1)
		if b, err = e.append(b, v.Index(i), depth+1); err != nil {
			return b, err
		}
	}
	return append(appendLine(b, depth), ']'), nil
}

// appendString appends a string, most of which need nothing but quotes.
func appendString(b []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '#' {
			return appendOdd(b, reflect.ValueOf(s), 0)
		}
	}
	b = append(append(b, '"'), s...)
	return append(b, '"'), nil
}

// appendOdd appends what encoding/json makes of v.
func appendOdd(b []byte, v reflect.Value, depth int) ([]byte, error) {
	var buffer bytes.Buffer
	enc := json.NewEncoder(escapingWriter{&buffer})
	enc.SetEscapeHTML(false)
	enc.SetIndent(strings.Repeat("  ", depth), "  ")
	err := enc.Encode(v.Interface())
	return append(b, bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))...), err
}
