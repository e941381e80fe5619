package report

import (
	"io"
	"reflect"
	"runtime"
	"strings"
	"sync"
)

// writeDocument writes what WriteJSON would of doc with the given connections, but the elements of the document's
// lists one by one: of a million connections, the text is larger than all that
// is known of them.
func writeDocument(w io.Writer, doc *Document, connections list) error {
	s := streamer{w: w}
	v := reflect.ValueOf(doc).Elem()
	s.text("{")
	separator := "\n  "
	for i := range v.NumField() {
		name, left := fieldOf(v.Type().Field(i), v.Field(i))
		if left {
			continue
		}
		s.text(separator + `"` + name + `": `)
		if f := v.Field(i); f.Type() == reflect.TypeFor[[]Connection]() && connections.n > 0 {
			s.list(connections.n, func(i int) reflect.Value { return reflect.ValueOf(connections.at(i)).Elem() })
		} else {
			s.field(f)
		}
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
	w       io.Writer
	err     error
	encoder encoder
	// spare has texts that were written, for their room.
	spare sync.Pool
}

func (s *streamer) text(t string) {
	if s.err == nil {
		_, s.err = io.WriteString(s.w, t)
	}
}

// field writes the value of a field of the document.
func (s *streamer) field(v reflect.Value) {
	if v.Kind() != reflect.Slice || v.Len() == 0 {
		s.write(s.encode(v, 1))
		return
	}
	s.list(v.Len(), v.Index)
}

// list writes n elements.
func (s *streamer) list(n int, at func(int) reflect.Value) {
	s.text("[\n    ")
	s.elements(n, at)
	s.text("\n  ]")
}

// chunk is how many elements are written at once.
const chunk = 64

// elements writes the elements of a list, which several goroutines encode. It
// ends when nobody reads any more.
func (s *streamer) elements(n int, at func(int) reflect.Value) {
	chunks, gone := make(chan chan encoded, runtime.GOMAXPROCS(0)), make(chan struct{})
	go func() {
		defer close(chunks)
		for from := 0; from < n; from += chunk {
			one := make(chan encoded, 1)
			select {
			case chunks <- one:
			case <-gone:
				return
			}
			go func() { one <- s.encodeElements(at, from, min(from+chunk, n)) }()
		}
	}()
	for one := range chunks {
		e := <-one
		if s.write(e); s.err != nil {
			close(gone)
			return
		}
		s.spare.Put(&e.text)
	}
}

// An encoded is a piece of JSON, or why there is none.
type encoded struct {
	text []byte
	err  error
}

func (s *streamer) encodeElements(at func(int) reflect.Value, from, to int) (out encoded) {
	if room, ok := s.spare.Get().(*[]byte); ok {
		out.text = (*room)[:0]
	}
	for i := from; i < to && out.err == nil; i++ {
		if i > 0 {
			out.text = append(out.text, ",\n    "...)
		}
		out.text, out.err = s.encoder.append(out.text, at(i), 2)
	}
	return out
}

// encode encodes a value at the given depth.
func (s *streamer) encode(v reflect.Value, depth int) encoded {
	text, err := s.encoder.append(nil, v, depth)
	return encoded{text, err}
}

func (s *streamer) write(e encoded) {
	if s.err == nil {
		s.err = e.err
	}
	if s.err == nil {
		_, s.err = s.w.Write(e.text)
	}
}
