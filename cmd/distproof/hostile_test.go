package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distproof/internal/hostile"
	"distproof/report"
)

const hostileDir = "../../testdata"

// maxHostile is how large the files may be in bytes.
const maxHostile = 4 << 10

// An answer is what verify says of a file.
type answer struct {
	code int
	// says has the error of a file that cannot be read, and of others the
	// damage, the undecoded packets, the connections and the names.
	says []string
}

// hostileAnswers are those about the files in testdata/.
var hostileAnswers = map[string]answer{
	"empty.pcap": {exitCouldNotRun, []string{
		"hint: did the capture run, and with the rights to? tcpdump -w FILE writes the header first",
		"error: empty.pcap: empty: it does not even have a capture's header",
	}},
	"text.pcap": {exitCouldNotRun, []string{
		"hint: that may be what tcpdump prints; the packets themselves are written by tcpdump -w FILE",
		"error: text.pcap: not a capture file: it is text",
	}},
	"cut-file-header.pcap": {exitInconclusive, []string{
		"0 packets",
		"truncated before frame 1: the file ends inside the file header: it has 20 of 24 bytes",
	}},
	"cut-packet.pcap": {exitViolated, []string{
		"13 packets",
		"truncated at frame 13: the file ends inside a packet: it has 64 of 74 bytes",
		"dist cleartext up: distribution in the clear",
		`node "a@h1.example"`, `node "b@h2.example"`,
	}},
	"caplen-3gib.pcap": {exitInconclusive, []string{
		"1 packets",
		"truncated at frame 1: a packet claims 3221225472 captured bytes, more than the limit of 262144",
		"none null incomplete: no data",
	}},
	"snaplen-zero.pcap": {exitViolated, []string{
		"14 packets",
		"dist cleartext up: distribution in the clear",
		`node "a@h1.example"`, `node "b@h2.example"`,
	}},
	"times.pcap": {exitInconclusive, []string{
		"2 packets",
		"2 malformed Ethernet header",
	}},
	"cut-block.pcapng": {exitInconclusive, []string{
		"0 packets",
		"truncated before frame 1: the file ends inside a packet block: it has 78 of 88 bytes",
	}},
	"block-length-zero.pcapng": {exitInconclusive, []string{
		"1 packets",
		"truncated at frame 1: a block claims a length of 0 bytes, but the least is 12",
		"none null incomplete: no data",
	}},
	"block-length-4gib.pcapng": {exitInconclusive, []string{
		"1 packets",
		"truncated at frame 1: a block claims a length of 4294967292 bytes, more than the limit of 16777216",
		"none null incomplete: no data",
	}},
	"block-lengths-differ.pcapng": {exitInconclusive, []string{
		"1 packets",
		"truncated at frame 1: a block claims 24 bytes at its beginning and 28 at its end",
		"none null incomplete: no data",
	}},
	"interface-missing.pcapng": {exitInconclusive, []string{
		"2 packets",
		"damaged after frame 1: a packet belongs to interface 7, which is not described (1 packet skipped)",
		"none null incomplete: no data",
	}},
	"tsresol-64.pcapng": {exitInconclusive, []string{
		"1 packets",
		"none null incomplete: no data",
	}},
	"options-overflow.pcapng": {exitInconclusive, []string{
		"1 packets",
		"damaged after frame 0: the options of an interface description cannot be read; the times of its packets may be wrong",
		"none null incomplete: no data",
	}},
	"secrets-4gib.pcapng": {exitInconclusive, []string{
		"1 packets",
		"damaged after frame 0: a block with decryption secrets is too short",
		"none null incomplete: no data",
	}},
	"two-link-types.pcapng": {exitViolated, []string{
		"14 packets",
		"dist cleartext up: distribution in the clear",
		`node "a@h1.example"`, `node "b@h2.example"`,
	}},
	"bomb.pcap.gz": {exitInconclusive, []string{
		"131072 packets",
		"131072 malformed Ethernet header",
	}},
	"bomb.pcap.zst": {exitInconclusive, []string{
		"262144 packets",
		"262144 malformed Ethernet header",
	}},
	"tunnels-64.pcap": {exitInconclusive, []string{
		"1 packets",
		"1 too many nested encapsulations",
	}},
	"fragments-overlap.pcap": {exitInconclusive, []string{
		"2 packets",
		"2 IP fragments contradict each other",
	}},
	"tcp-headers.pcap": {exitInconclusive, []string{
		"4 packets",
		"2 malformed TCP header",
		"none null incomplete: no data",
	}},
	"tls-record-65535.pcap": {exitInconclusive, []string{
		"7 packets",
		"other inconclusive up: bytes on a port of distribution in which neither TLS nor distribution is recognised",
	}},
	"hello-lengths.pcap": {exitInconclusive, []string{
		"8 packets",
		"dist-tls refused tls-failed: the client closed the connection during the server's handshake",
	}},
	"message-endless.pcap": {exitInconclusive, []string{
		"8 packets",
		"dist-tls inconclusive incomplete: not shown to be accepted: server: a handshake message longer than the limit of 256 KiB",
	}},
	"tls-then-not.pcap": {exitViolated, []string{
		"10 packets",
		"dist-tls inconclusive incomplete: the client sent bytes that are not TLS inside a TLS connection",
	}},
	"name-65535.pcap": {exitInconclusive, []string{
		"6 packets",
		"other inconclusive up: bytes on a port of distribution in which neither TLS nor distribution is recognised",
	}},
	"epmd-endless.pcap": {exitInconclusive, []string{
		"7 packets",
		"epmd null up: Erlang port mapper",
	}},
	"epmd-controls.pcap": {exitInconclusive, []string{
		"8 packets",
		"epmd null up: Erlang port mapper",
		fmt.Sprintf("epmd %q 9100", hostile.Controls),
	}},
	"sni-controls.pcap": {exitInconclusive, []string{
		"8 packets",
		"dist-tls refused tls-failed: the client closed the connection during the server's handshake",
	}},
	"names-controls.pcap": {exitViolated, []string{
		"14 packets",
		"dist cleartext up: distribution in the clear",
	}},
}

// TestHostileFiles judges files that no capture tool writes. UPDATE_TESTDATA=1
// writes them anew.
func TestHostileFiles(t *testing.T) {
	for _, f := range hostile.Files() {
		t.Run(f.Name, func(t *testing.T) {
			path := filepath.Join(hostileDir, f.Name)
			if os.Getenv("UPDATE_TESTDATA") != "" {
				if err := os.WriteFile(path, f.Data, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			onDisk, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(unpacked(t, f.Name, onDisk), unpacked(t, f.Name, f.Data)) {
				t.Errorf("the file is not what is made here: run with UPDATE_TESTDATA=1")
			}
			if len(onDisk) > maxHostile {
				t.Errorf("%d bytes, more than %d", len(onDisk), maxHostile)
			}
			checkHostile(t, hostileAnswers[f.Name], path)
		})
	}
}

// unpacked undoes gzip, whose output depends on Go's version.
func unpacked(t *testing.T, name string, data []byte) []byte {
	if !strings.HasSuffix(name, ".gz") {
		return data
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func checkHostile(t *testing.T, want answer, path string) {
	t.Helper()
	verify := func(format string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		code := run([]string{"verify", "--port", fmt.Sprint(hostile.Port), "-o", format, path}, strings.NewReader(""), &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
	code, stdout, stderr := verify("json")
	if code != want.code {
		t.Errorf("exit code %d, want %d", code, want.code)
	}
	var says []string
	if code == exitCouldNotRun {
		says = strings.Split(strings.TrimSpace(strings.Replace(stderr, path, filepath.Base(path), 1)), "\n")
	} else {
		var doc report.Document
		if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
			t.Fatal(err)
		}
		says = summary(&doc)
	}
	if diff := cmp.Diff(want.says, says); diff != "" {
		t.Errorf("-want +got: %s", diff)
	}
	for _, format := range report.Formats() {
		_, stdout, stderr := verify(format)
		if bad := unprintable.FindString(stdout + stderr); bad != "" {
			t.Errorf("%s has %q", format, bad)
		}
	}
}

// unprintable is what must not reach a terminal.
var unprintable = regexp.MustCompile(`[^\P{Cc}\n]|\p{Cf}`)

// summary has a document's damage, undecoded packets and connections.
func summary(doc *report.Document) []string {
	in := doc.Inputs[0]
	out := []string{fmt.Sprintf("%d packets", in.Packets)}
	if in.Damage != "" {
		out = append(out, in.Damage)
	}
	for _, why := range slices.Sorted(maps.Keys(in.Undecoded)) {
		out = append(out, fmt.Sprintf("%d %s", in.Undecoded[why], why))
	}
	for _, c := range doc.Connections {
		out = append(out, fmt.Sprintf("%s %s %s: %s", c.Protocol, text(c.Verdict), c.State, c.Reason))
	}
	for _, n := range doc.Nodes {
		out = append(out, fmt.Sprintf("node %q", n.Name))
	}
	for _, n := range doc.EPMD.Names {
		out = append(out, fmt.Sprintf("epmd %q %d", n.Node, n.Port))
	}
	return out
}

// TestHostileFilesAreDescribed: the README names each file, and no other.
func TestHostileFilesAreDescribed(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(hostileDir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(readme), -1) {
		described = append(described, m[1])
	}
	var there, made []string
	entries, err := os.ReadDir(hostileDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "README.md" {
			there = append(there, e.Name())
		}
	}
	for _, f := range hostile.Files() {
		made = append(made, f.Name)
	}
	slices.Sort(described)
	slices.Sort(made)
	if !slices.Equal(described, there) || !slices.Equal(made, there) {
		t.Errorf("described: %q\nmade: %q\nthere: %q", described, made, there)
	}
}
