package report

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
)

// writeDocument writes what WriteJSON would, but the elements of the document's
// lists one by one: of a million connections, the text is larger than all that
// is known of them.
func writeDocument(w io.Writer, doc *Document) error {
	s := streamer{w: escapingWriter{w}}
	v := reflect.ValueOf(doc).Elem()
	s.text("{")
	separator := "\n  "
	for i := range v.NumField() {
		name, left := fieldOf(v.Type().Field(i), v.Field(i))
		if left {
			continue
		}
		s.text(separator + `"` + name + `": `)
		s.field(v.Field(i))
		separator = ",\n  "
	}
	s.text("\n}\n")
	return s.err
}

// fieldOf returns the name of a field, and whether it is left out, by the rules
// of encoding/json.
func fieldOf(f reflect.StructField, v reflect.Value) (name string, left bool) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch {
	case name == "-" || !f.IsExported():
		return "", true
	case name == "":
		name = f.Name
	}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			left = left || emptyValue(v)
		case "omitzero":
			left = left || v.IsZero()
		}
	}
	return name, left
}

func emptyValue(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

type streamer struct {
	w      io.Writer
	buffer bytes.Buffer
	err    error
}

func (s *streamer) text(t string) {
	if s.err == nil {
		_, s.err = io.WriteString(s.w, t)
	}
}

// field writes the value of a field of the document.
func (s *streamer) field(v reflect.Value) {
	if v.Kind() != reflect.Slice || v.Len() == 0 {
		s.value(v, "  ")
		return
	}
	s.text("[\n    ")
	for i := range v.Len() {
		if i > 0 {
			s.text(",\n    ")
		}
		s.value(v.Index(i), "    ")
	}
	s.text("\n  ]")
}

// value writes a value behind indent.
func (s *streamer) value(v reflect.Value, indent string) {
	if s.err != nil {
		return
	}
	s.buffer.Reset()
	enc := json.NewEncoder(&s.buffer)
	enc.SetEscapeHTML(false)
	enc.SetIndent(indent, "  ")
	if s.err = enc.Encode(v.Interface()); s.err == nil {
		_, s.err = s.w.Write(bytes.TrimSuffix(s.buffer.Bytes(), []byte("\n")))
	}
}
