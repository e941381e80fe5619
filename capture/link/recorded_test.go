package link

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distproof/capture"
)

// Captures that lie beside the project are further cases, where they are.
const (
	thirdParty = "../../../shared/third-party"
	recorded   = "../../../shared/captures"
)

// ejemplo is a damaged capture of one packet whose TCP header cannot be.
const ejemplo = "wireshark-wiki/ejemplo.pcap"

// decodeFile returns the segments of a capture file without their payload, and
// checks that every packet is accounted for.
func decodeFile(t *testing.T, path string) ([]Segment, *Decoder) {
	t.Helper()
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		return nil, NewDecoder(Options{}) // no capture at all: for others to test
	}
	defer src.Close()
	d := NewDecoder(Options{})
	var all []Segment
	var p capture.Packet
	packets := uint64(0)
	for src.Next(&p) == nil {
		packets++
		var s Segment
		if d.Decode(&p, &s) {
			checkSegment(t, d, &p, s)
			s.Payload = nil
			all = append(all, s)
		}
	}
	d.Finish()
	counted := uint64(len(all))
	for _, n := range d.Undecoded(0) {
		counted += n
	}
	if counted > packets || len(all) == 0 && counted != packets {
		t.Errorf("%d packets, %d accounted for", packets, counted)
	}
	return all, d
}

// pairs returns the different pairs of endpoints, each in sorted order.
func pairs(all []Segment) map[[2]string]bool {
	m := make(map[[2]string]bool)
	for _, s := range all {
		m[pair(text(s.Src), text(s.Dst))] = true
	}
	return m
}

// text writes an endpoint as tcp.jsonl does: without brackets.
func text(e Endpoint) string {
	return fmt.Sprintf("%s:%d", e.AddrPort().Addr(), e.Port)
}

func pair(a, b string) [2]string {
	p := [2]string{a, b}
	slices.Sort(p[:])
	return p
}

// eachLine calls f with every line of a file, and skips the test without it.
func eachLine(t *testing.T, path string, f func(line []byte)) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Skip("the captures are not here")
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		f(lines.Bytes())
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
}

// The number of TCP connections is that of tshark, but where it is known why not.
func TestThirdPartyConnections(t *testing.T) {
	want := map[string]int{
		// A port is used again, which tshark counts as a further connection.
		"arkime/tcp-reassembly-synthetic.pcap": -1,
		"tcpflow/test5-lines-randomized.pcap":  -1,
		// The data offset of the only TCP header is below five.
		ejemplo: -1,
	}
	eachLine(t, filepath.Join(thirdParty, "tshark.jsonl"), func(line []byte) {
		var file struct {
			Path    string
			Streams int `json:"tcp_streams"`
		}
		if err := json.Unmarshal(line, &file); err != nil {
			t.Fatal(err)
		}
		t.Run(file.Path, func(t *testing.T) {
			all, d := decodeFile(t, filepath.Join(thirdParty, file.Path))
			if got := len(pairs(all)) - file.Streams; got != want[file.Path] {
				t.Errorf("%d pairs of endpoints, %d connections according to tshark; undecoded: %v",
					len(pairs(all)), file.Streams, d.Undecoded(0))
			}
		})
	})
}

// Every direction that tshark knows is there.
func TestThirdPartyEndpoints(t *testing.T) {
	eachLine(t, filepath.Join(thirdParty, "tcp.jsonl"), func(line []byte) {
		var file struct {
			Path string
			TCP  []struct{ Src, Dst string }
		}
		if err := json.Unmarshal(line, &file); err != nil {
			t.Fatal(err)
		}
		if file.Path == ejemplo {
			return
		}
		t.Run(file.Path, func(t *testing.T) {
			all, _ := decodeFile(t, filepath.Join(thirdParty, file.Path))
			got := pairs(all)
			for _, direction := range file.TCP {
				if want := pair(direction.Src, direction.Dst); !got[want] {
					t.Errorf("no segment between %s and %s", want[0], want[1])
				}
			}
		})
	})
}

// In captures of nodes nearly every packet is TCP.
func TestRecorded(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(recorded, "*.pcap"))
	if len(files) == 0 {
		t.Skip("the captures are not here")
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			all, d := decodeFile(t, path)
			if len(all) == 0 {
				t.Error("no segment")
			}
			for why, n := range d.Undecoded(0) {
				if why != "arp" && why != "icmpv6" && why != "udp" && why != "lldp" {
					t.Errorf("%q: %d packets", why, n)
				}
			}
			want := []string{}
			if strings.Contains(path, "vxlan") {
				want = []string{"vxlan 1"}
			}
			for _, s := range all {
				if got := d.Encapsulation(s.Encapsulation); !slices.Equal(got, want) {
					t.Fatalf("frame %d: encapsulation %q, want %q", s.Frame.Number, got, want)
				}
			}
		})
	}
}
