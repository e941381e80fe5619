package tls

import (
	"reflect"
	"testing"
	"unsafe"
)

// leaves returns all of v that is neither a struct nor an array.
func leaves(v reflect.Value) (out []reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			out = append(out, leaves(v.Field(i))...)
		}
	case reflect.Array:
		for i := range v.Len() {
			out = append(out, leaves(v.Index(i))...)
		}
	default:
		// Fields that are not exported can only be set like this.
		out = append(out, reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem())
	}
	return out
}

// set gives a leaf a value that is not zero.
func set(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8, reflect.Uint16, reflect.Uint64:
		v.SetUint(7)
	case reflect.String:
		v.SetString("seven")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	default:
		t.Fatalf("a %s in a session", v.Type())
	}
}

// TestSessionsShared: what is kept for several connections says of each all that
// it said before, whichever field sets it apart.
func TestSessionsShared(t *testing.T) {
	n := len(leaves(reflect.ValueOf(new(Session)).Elem()))
	if n < 50 {
		t.Fatalf("a session has but %d fields", n)
	}
	tables := NewTables()
	same := new(Session).intern(tables)
	seen := map[*Session]bool{same: true}
	for i := range n {
		s := new(Session)
		leaf := leaves(reflect.ValueOf(s).Elem())[i]
		set(t, leaf)
		want, again := *s, *s
		got := s.intern(tables)
		if !reflect.DeepEqual(*got, want) || seen[got] {
			t.Errorf("field %d, a %s: got %+v, want %+v, apart from others", i, leaf.Type(), *got, want)
		}
		seen[got] = true
		if got := again.intern(tables); !reflect.DeepEqual(*got, want) {
			t.Errorf("field %d, a %s, again: got %+v, want %+v", i, leaf.Type(), *got, want)
		}
	}
	if new(Session).intern(tables) != same {
		t.Error("the same is there twice")
	}
}
