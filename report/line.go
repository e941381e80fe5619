package report

import (
	"encoding/json"
	"io"
	"reflect"
)

// WriteLine writes v as a line of JSON, as the formats of a report write it: bytes
// that are not UTF-8 become \xNN, and nothing in it does anything to a terminal.
func WriteLine(w io.Writer, v any) error {
	enc := json.NewEncoder(escapingWriter{w})
	enc.SetEscapeHTML(false)
	mended, _ := newMender().mend(reflect.ValueOf(v))
	return enc.Encode(mended.Interface())
}
