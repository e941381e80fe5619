// Package fill fills structures for tests, so that a field that is forgotten shows.
package fill

import (
	"math/rand/v2"
	"reflect"
	"unsafe"
)

// Fill sets what x points to, with all that is in it and whether it is exported or
// not, to values that are not zero, below 128 and different for the most part.
// Pointers, maps, functions and interfaces stay as they are.
func Fill[T any](x *T, random *rand.Rand) { fill(reflect.ValueOf(x).Elem(), random) }

func fill(v reflect.Value, random *rand.Rand) {
	// Fields that are not exported can only be set like this.
	v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	n := 1 + random.Int64N(127)
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(n))
	case reflect.String:
		v.SetString(string(rune(n)))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		elements(v, random)
	case reflect.Array:
		elements(v, random)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), random)
		}
	}
}

func elements(v reflect.Value, random *rand.Rand) {
	for i := range v.Len() {
		fill(v.Index(i), random)
	}
}
