package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// renderJSON writes the document itself.
func renderJSON(w io.Writer, doc *Document, _ Options) error {
	return writeDocument(w, doc, doc.lists())
}

// WriteJSON writes v indented, with a newline at the end. Characters that could
// drive a terminal or hide text are written as \uXXXX, which a JSON parser turns
// back into the same string.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(escapingWriter{w})
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// An escapingWriter replaces the characters that encoding/json lets through
// although a terminal may act on them. Outside strings JSON has only ASCII,
// so that the replacement is always inside one. json.Encoder hands over whole
// values, so that no character is split between two writes.
type escapingWriter struct{ w io.Writer }

func (e escapingWriter) Write(p []byte) (int, error) {
	var out bytes.Buffer
	done := 0
	for i := 0; i < len(p); {
		if c := p[i]; c >= ' ' && c <= '~' && c != '#' {
			i++
			continue
		}
		r, size := utf8.DecodeRune(p[i:])
		// "##[" is a command to GitHub's runner wherever it stands in a log.
		command := r == '#' && i+1 < len(p) && p[i+1] == '['
		if r == '\n' || printable(r) && !command {
			i += size
			continue
		}
		out.Write(p[done:i])
		writeJSONEscape(&out, r)
		i += size
		done = i
	}
	if done == 0 {
		return e.w.Write(p)
	}
	out.Write(p[done:])
	if _, err := e.w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// writeJSONEscape writes r as one or, beyond the basic plane, two \uXXXX.
func writeJSONEscape(out *bytes.Buffer, r rune) {
	if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
		fmt.Fprintf(out, `\u%04x\u%04x`, hi, lo)
		return
	}
	fmt.Fprintf(out, `\u%04x`, r)
}
