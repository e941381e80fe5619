// Package copies keeps bytes that are valid for a moment only.
package copies

import "bytes"

// Keep returns a copy of data. It is in room, which has so many bytes in all and is
// made when it is first needed, as long as there is space: then it is valid until
// room is cut back to be used again. Else it is by itself.
func Keep(room *[]byte, size int, data []byte) []byte {
	if *room == nil {
		*room = make([]byte, 0, size)
	}
	from := len(*room)
	if len(data) > cap(*room)-from {
		return bytes.Clone(data)
	}
	*room = append(*room, data...)
	return (*room)[from:len(*room):len(*room)]
}
