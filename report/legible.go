package report

import (
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
	"unsafe"

	"distproof/internal/once"
)

// legible returns doc with the bytes that are not UTF-8 written as \xNN, as
// the table shows them. JSON cannot hold them, and a saved document must say
// in every format what the original did. doc itself is left as it is.
func legible(doc *Document) *Document {
	m := newMender()
	v, changed := m.mend(reflect.ValueOf(doc))
	if !changed {
		return doc
	}
	return v.Interface().(*Document)
}

// A mender remembers some of what needs no mending: much is in many places.
type mender struct{ fine map[unsafe.Pointer]bool }

func newMender() *mender { return &mender{make(map[unsafe.Pointer]bool)} }

// mend returns v, or if a string in it is not UTF-8, a copy with that mended.
func (m *mender) mend(v reflect.Value) (mended reflect.Value, changed bool) {
	switch v.Kind() {
	case reflect.String:
		return mendString(v)
	case reflect.Pointer:
		return m.mendPointer(v)
	case reflect.Struct:
		return m.mendStruct(v)
	case reflect.Slice:
		return m.mendSlice(v)
	case reflect.Map:
		return mendMap(v)
	}
	return v, false
}

func mendString(v reflect.Value) (reflect.Value, bool) {
	s := v.String()
	if utf8.ValidString(s) {
		return v, false
	}
	out := reflect.New(v.Type()).Elem()
	out.SetString(validUTF8(s))
	return out, true
}

func validUTF8(s string) string {
	var b strings.Builder
	for i, r := range s {
		if r != utf8.RuneError {
			b.WriteRune(r)
			continue
		}
		if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[i])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (m *mender) mendPointer(v reflect.Value) (reflect.Value, bool) {
	if v.IsNil() || m.fine[v.UnsafePointer()] {
		return v, false
	}
	elem, changed := m.mend(v.Elem())
	if !changed {
		if len(m.fine) < once.Most {
			m.fine[v.UnsafePointer()] = true
		}
		return v, false
	}
	out := reflect.New(v.Type().Elem())
	out.Elem().Set(elem)
	return out, true
}

func (m *mender) mendStruct(v reflect.Value) (reflect.Value, bool) {
	out, changed := v, false
	for i := range v.NumField() {
		field, mended := m.mend(v.Field(i))
		if !mended {
			continue
		}
		if !changed {
			out, changed = reflect.New(v.Type()).Elem(), true
			out.Set(v)
		}
		out.Field(i).Set(field)
	}
	return out, changed
}

func (m *mender) mendSlice(v reflect.Value) (reflect.Value, bool) {
	out, changed := v, false
	for i := range v.Len() {
		elem, mended := m.mend(v.Index(i))
		if !mended {
			continue
		}
		if !changed {
			out, changed = reflect.MakeSlice(v.Type(), v.Len(), v.Len()), true
			reflect.Copy(out, v)
		}
		out.Index(i).Set(elem)
	}
	return out, changed
}

// mendMap mends the keys of a map, which have what came off the wire; its
// values are numbers. Names that become the same are counted together.
func mendMap(v reflect.Value) (reflect.Value, bool) {
	counts, ok := v.Interface().(map[string]uint64)
	if !ok {
		return v, false
	}
	changed := false
	out := make(map[string]uint64, len(counts))
	for name, n := range counts {
		valid := utf8.ValidString(name)
		changed = changed || !valid
		if !valid {
			name = validUTF8(name)
		}
		out[name] += n
	}
	if !changed {
		return v, false
	}
	return reflect.ValueOf(out), true
}
