// Package octets writes down protocol messages for tests, field by field.
package octets

// Cat concatenates bytes (as int or rune), byte slices and strings.
func Cat(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case rune:
			b = append(b, byte(p))
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		default:
			panic("octets: unexpected type")
		}
	}
	return b
}
