package report

import (
	"io"
	"reflect"
	"runtime"
	"strings"
	"sync"
)

// writeDocument writes what WriteJSON would of doc with the given lists, but their
// elements one by one: of a million connections, the text is larger than all that
// is known of them.
func writeDocument(w io.Writer, doc *Document, all lists) error {
	s := streamer{w: w}
	s.structure(reflect.ValueOf(doc).Elem(), 0, func(f reflect.Value) {
		switch {
		case f.Type() == reflect.TypeFor[[]Connection]() && all.connections.n > 0:
			s.list(all.connections, 1)
		case f.Type() == reflect.TypeFor[[]Finding]() && all.findings.n > 0:
			s.findings(all.findings)
		default:
			s.field(f, 1)
		}
	})
	s.text("\n")
	return s.err
}

// structure writes a struct at the given depth, the value of each field by field.
func (s *streamer) structure(v reflect.Value, depth int, field func(reflect.Value)) {
	s.text("{")
	separator := line(depth + 1)
	for i := range v.NumField() {
		name, left := fieldOf(v.Type().Field(i), v.Field(i))
		if left {
			continue
		}
		s.text(separator + `"` + name + `": `)
		field(v.Field(i))
		separator = "," + line(depth+1)
	}
	s.text(line(depth) + "}")
}

// findings writes the findings one by one, and each in pieces: it may be about all
// connections.
func (s *streamer) findings(all list[Finding]) {
	separator := "["
	for i := range all.n {
		s.text(separator + line(2))
		s.structure(all.value(i), 2, func(f reflect.Value) { s.field(f, 3) })
		separator = ","
	}
	s.text(line(1) + "]")
}

// line is a line break with the indentation of a depth.
func line(depth int) string { return newlines[:1+2*depth] }

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

// field writes the value of a field at the given depth.
func (s *streamer) field(v reflect.Value, depth int) {
	if v.Kind() != reflect.Slice || v.Len() <= chunk {
		s.write(s.encode(v, depth))
		return
	}
	s.list(elements{v}, depth)
}

// A listing has the elements of a list.
type listing interface {
	len() int
	value(i int) reflect.Value
}

type elements struct{ reflect.Value }

func (e elements) len() int                  { return e.Len() }
func (e elements) value(i int) reflect.Value { return e.Index(i) }

// list writes a list at the given depth.
func (s *streamer) list(l listing, depth int) {
	s.text("[" + line(depth+1))
	s.elements(l, depth+1)
	s.text(line(depth) + "]")
}

// chunk is how many elements are written at once.
const chunk = 64

// elements writes the elements of a list, which several goroutines encode. It
// ends when nobody reads any more.
func (s *streamer) elements(l listing, depth int) {
	chunks, gone := make(chan chan encoded, runtime.GOMAXPROCS(0)), make(chan struct{})
	go func() {
		defer close(chunks)
		for from := 0; from < l.len(); from += chunk {
			one := make(chan encoded, 1)
			select {
			case chunks <- one:
			case <-gone:
				return
			}
			go func() { one <- s.encodeElements(l, depth, from, min(from+chunk, l.len())) }()
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

func (s *streamer) encodeElements(l listing, depth, from, to int) (out encoded) {
	if room, ok := s.spare.Get().(*[]byte); ok {
		out.text = (*room)[:0]
	}
	for i := from; i < to && out.err == nil; i++ {
		if i > 0 {
			out.text = appendLine(append(out.text, ','), depth)
		}
		out.text, out.err = s.encoder.append(out.text, l.value(i), depth)
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
