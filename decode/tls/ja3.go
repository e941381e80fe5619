package tls

import (
	"crypto/md5" // the fingerprint is defined with it
	"encoding/hex"
	"strconv"
	"strings"
)

// JA3 returns the client's JA3 fingerprint: the MD5 of the numbers in its hello,
// in the order sent, without the reserved ones. Like JA4 it identifies an
// implementation and its configuration, never a person or a node.
func (h *ClientHello) JA3() string {
	sum := md5.Sum([]byte(h.ja3()))
	return hex.EncodeToString(sum[:])
}

// ja3 returns what JA3 is the hash of: version, suites, extensions, groups and
// point formats.
func (h *ClientHello) ja3() string {
	return strings.Join([]string{
		strconv.Itoa(int(h.LegacyVersion)), dashed(h.Suites), dashed(h.Extensions), dashed(h.Groups), dashed(h.PointFormats),
	}, ",")
}

func dashed[T Suite | uint16 | uint8](numbers []T) string {
	var out []string
	for _, n := range numbers {
		if !grease(uint16(n)) {
			out = append(out, strconv.Itoa(int(n)))
		}
	}
	return strings.Join(out, "-")
}
