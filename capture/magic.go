package capture

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// A kind is what the first bytes of a stream say that it is.
type kind int

const (
	kindUnknown kind = iota
	kindPcap
	kindPcapng
	kindGzip
	kindZstd
)

// magicLength is the number of bytes that tell the kinds apart.
const magicLength = 4

func kindOf(head []byte) kind {
	if len(head) < 2 {
		return kindUnknown
	}
	if head[0] == 0x1f && head[1] == 0x8b { // RFC 1952, Section 2.3.1
		return kindGzip
	}
	if len(head) < magicLength {
		return kindUnknown
	}
	if _, ok := pcapMagics[[4]byte(head)]; ok {
		return kindPcap
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x0a, 0x0d, 0x0d, 0x0a}):
		return kindPcapng
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), // RFC 8878, Section 3.1.1
		head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}): // Section 3.1.2
		return kindZstd
	}
	return kindUnknown
}

// foreign are formats that users of capture tools have at hand, by their first bytes.
var foreign = []struct{ magic, name, advice string }{
	{"snoop\x00\x00\x00", "a snoop capture", adviceConvert},
	{"TRSNIFF data", "a Sniffer capture", adviceConvert},
	{"XCP\x00", "a NetXRay capture", adviceConvert},
	{"GMBU", "a Network Monitor capture", adviceConvert},
	{"RTSS", "a Network Monitor capture", adviceConvert},
	{"iptrace 1.0", "an AIX iptrace capture", adviceConvert},
	{"iptrace 2.0", "an AIX iptrace capture", adviceConvert},
	{"\x1c\x00\x01\xac", "an Ixia lcap capture", adviceConvert},
	{"\x1c\x00\x01\xab", "an Ixia lcap capture", adviceConvert},
	{"\xfd7zXZ\x00", "compressed with xz", "unpack it first: xz -d FILE"},
	{"BZh", "compressed with bzip2", "unpack it first: bzip2 -d FILE"},
	{"\x04\x22\x4d\x18", "compressed with lz4", "unpack it first: lz4 -d FILE"},
	{"PK\x03\x04", "a zip archive", adviceUnpack},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive", adviceUnpack},
}

const (
	adviceConvert = "convert it first: editcap -F pcapng FILE NEW.pcapng"
	adviceUnpack  = "unpack it first, then give the folder"
	adviceFormats = "captures are pcap or pcapng files, also compressed with gzip or zstd; tcpdump -w FILE writes one"
	adviceText    = "that may be what tcpdump prints; the packets themselves are written by tcpdump -w FILE"
)

// notCapture says what a stream is that is none of the known kinds.
func notCapture(path, within string, head []byte) *Error {
	e := &Error{Path: path, Advice: adviceFormats, notCapture: true}
	what := "not a capture file"
	if within != "" {
		what = "not a capture file inside the " + within + " compression"
	}
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			e.Reason, e.Advice = what+" that can be read: it is "+f.name, f.advice
			e.notCapture = f.advice != adviceConvert
			return e
		}
	}
	switch {
	case len(head) > 262 && string(head[257:262]) == "ustar":
		e.Reason, e.Advice = what+": it is a tar archive", adviceUnpack
	case isText(head):
		e.Reason, e.Advice = what+": it is text", adviceText
	default:
		e.Reason = fmt.Sprintf("%s: it begins with the bytes % x", what, head[:min(len(head), 8)])
	}
	return e
}

func isText(b []byte) bool {
	if bytes.HasPrefix(b, []byte{0xff, 0xfe}) || bytes.HasPrefix(b, []byte{0xfe, 0xff}) {
		return true // UTF-16 with a byte order mark
	}
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		// The last rune may be cut by the end of b.
		if r == utf8.RuneError && n == 1 && len(b)-i >= utf8.UTFMax {
			return false
		}
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != '\f' && r != 0x1b {
			return false
		}
		i += n
	}
	return true
}
