package epmd

import (
	"path/filepath"
	"reflect"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode/tcp"
	"distproof/decode/wire"
)

// streams collects the bytes of both directions of a connection.
type streams [2][]byte

func (s *streams) Data(d tcp.Dir, _ tcp.Position, b []byte) { s[d] = append(s[d], b...) }
func (s *streams) Gap(tcp.Dir, tcp.Position, int64)         {}

// connections returns the two streams of every connection of a capture, the
// one to EPMD's port first, or else that of the first packet.
func connections(t *testing.T, path string) (epmd, others []*streams) {
	t.Helper()
	files, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	type key [2]link.Endpoint
	conns, all := make(map[key]*tcp.Conn), make(map[key]*streams)
	decoder := link.NewDecoder(link.Options{})
	var order []key
	var p capture.Packet
	var s link.Segment
	for files.Next(&p) == nil {
		if !decoder.Decode(&p, &s) {
			continue
		}
		k, d := key{s.Src, s.Dst}, tcp.From0
		if s.Src.Port == 4369 || all[k] == nil && all[key{s.Dst, s.Src}] != nil {
			k, d = key{s.Dst, s.Src}, tcp.From1
		}
		if all[k] == nil {
			conns[k], all[k] = tcp.New(tcp.Limits{}, nil), new(streams)
			order = append(order, k)
		}
		conns[k].Segment(d, &s, all[k])
	}
	for _, k := range order {
		conns[k].Flush(all[k])
		if k[1].Port == 4369 {
			epmd = append(epmd, all[k])
		} else {
			others = append(others, all[k])
		}
	}
	return epmd, others
}

// TestCaptures decodes the recorded lookups of real nodes, and takes nothing
// else for EPMD.
func TestCaptures(t *testing.T) {
	lookups := 0
	for _, pattern := range []string{"../../pcaps/*.pcap", "../../../shared/captures/*.pcap"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			epmd, others := connections(t, path)
			for _, s := range epmd {
				for _, b := range s {
					if f, g := feed(ByPort, b, whole, 0, 0), feed(ByPort, b, 1, 0, 0); !reflect.DeepEqual(f, g) || f.Unparsed > 0 || f.Counts[Unknown] > 0 {
						t.Errorf("%s: got %+v\nand %+v", path, f, g)
					}
				}
				q, r := feed(ByPort, s[0], whole, 0, 0), feed(ByPort, s[1], whole, 0, 0)
				if q.Counts[PortPlease2Req] == 0 {
					continue
				}
				if len(r.Replies) == 1 && r.Replies[0].Result != 0 {
					if got := Combine(q, r); len(got) != 1 || got[0].Outcome != Refused {
						t.Errorf("%s: got %+v", path, got)
					}
					continue
				}
				lookups++
				if got := Combine(q, r); len(got) != 1 || got[0].Outcome != Accepted || got[0].Node.Name != q.Requests[0].Node.Name || !got[0].Node.plausible() {
					t.Errorf("%s: got %+v", path, got)
				}
				if MatchReply(s[1]) != wire.Yes {
					t.Errorf("%s: the reply does not prove itself", path)
				}
			}
			for _, s := range others {
				for _, b := range s {
					if f := feed(ByContent, b, whole, 0, 0); f.Recognised() || len(b) > 2 && (MatchRequest(b) != wire.No || MatchReply(b) != wire.No) {
						t.Errorf("%s: taken for EPMD: %+v, %.20q", path, f, b)
					}
				}
			}
		}
	}
	if lookups == 0 {
		t.Skip("no captures here")
	}
	t.Logf("%d lookups", lookups)
}
