package tcp_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode/tcp"
)

// elsewhere is where captures lie that cannot be part of this repository.
const elsewhere = "../../../shared/third-party"

// A truth is what another implementation says about one direction.
type truth struct {
	Src, Dst                                        string
	SYN, FIN, RST                                   bool
	Span, Bytes, Contiguous, Gap, Overlap, Conflict int64
	BelowBase                                       int64  `json:"below_base"`
	SHA1                                            string `json:"sha1_contig_first_wins"`
	Note                                            string
}

// A stream is what we say.
type stream struct {
	src, dst string
	contig   bytes.Buffer // up to the first gap
	gapped   bool
	tcp.Stats
}

type connection struct {
	*tcp.Conn
	ends [2]link.Endpoint
	dirs [2]stream
}

func (c *connection) Data(d tcp.Dir, _ tcp.Position, b []byte) {
	if !c.dirs[d].gapped {
		c.dirs[d].contig.Write(b)
	}
}

func (c *connection) Gap(d tcp.Dir, _ tcp.Position, _ int64) { c.dirs[d].gapped = true }

// streams reassembles all connections of a file.
func streams(path string) ([]*connection, error) {
	files, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		return nil, err
	}
	defer files.Close()
	dec := link.NewDecoder(link.Options{})
	open := make(map[[2]link.Endpoint]*connection)
	var all []*connection
	var p capture.Packet
	var s link.Segment
	for {
		if err := files.Next(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if !dec.Decode(&p, &s) {
			continue
		}
		d, key := tcp.From0, [2]link.Endpoint{s.Src, s.Dst}
		c := open[key]
		if c == nil {
			if c = open[[2]link.Endpoint{s.Dst, s.Src}]; c != nil {
				d, key = tcp.From1, c.ends
			}
		}
		if c == nil || c.Reuses(d, &s) {
			if c != nil {
				c.Flush(c)
			}
			d = tcp.From0
			c = &connection{Conn: tcp.New(tcp.Limits{}, nil), ends: [2]link.Endpoint{s.Src, s.Dst}}
			delete(open, [2]link.Endpoint{key[1], key[0]})
			delete(open, key)
			open[c.ends] = c
			all = append(all, c)
		}
		c.Segment(d, &s, c)
	}
	for _, c := range all {
		if open[c.ends] == c {
			c.Flush(c)
		}
		for d := range c.dirs {
			c.dirs[d].Stats = c.Stats(tcp.Dir(d))
			c.dirs[d].src, c.dirs[d].dst = name(c.ends[d]), name(c.ends[1-d])
		}
	}
	return all, nil
}

// differences are where we say something else than Wireshark, and why.
var differences = map[string]string{
	"arkime/socks4-https.pcap 10.0.0.1:50606":                  "frame 7 acknowledges 201 bytes that are not in the file: a gap at the end",
	"wireshark-wiki/couchbase-xattr.pcapng 192.168.4.17:11999": "frame 52 acknowledges 72 bytes that are not in the file: a gap at the end",
	"arkime/arkime_synthetic.pcap 10.1.14.100:54321":           "frame 354 (made up) acknowledges 35 bytes that are not in the file: a gap at the end",
	"pcapplusplus/one_tcp_stream.pcap 10.0.0.1:61541":          "frame 17 is a keep-alive with a byte, no conflict",
	"pcapplusplus/one_tcp_stream_max_seq.pcap 10.0.0.1:61541":  "frame 17 is a keep-alive with a byte, no conflict",
	"tcpflow/test5-lines-randomized.pcap 192.168.10.105:49392": "the SYN is in the file, late, as frame 10",
	"tcpdump/tcp_rst_data.pcap 199.204.31.89:80":               "the payload of a RST is no part of the stream",
	"tcpdump/tcp_rst_data-trunc.pcap 199.204.31.89:80":         "the payload of a RST is no part of the stream",
	"arkime/tcpseq_synthetic.pcap 30.0.0.0:0":                  "two segments 240 MiB apart are within a window: a gap",
	"wireshark-wiki/ejemplo.pcap 192.168.61.156:12809":         "its TCP header says that it has no length: no segment",
}

func name(e link.Endpoint) string {
	return fmt.Sprintf("%s:%d", e.AddrPort().Addr(), e.Port)
}

func TestThirdParty(t *testing.T) {
	f, err := os.Open(filepath.Join(elsewhere, "tcp.jsonl"))
	if err != nil {
		t.SkipNow()
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var file struct {
			Path string
			TCP  []truth
		}
		if err := json.Unmarshal(lines.Bytes(), &file); err != nil {
			t.Fatal(err)
		}
		t.Run(file.Path, func(t *testing.T) {
			ours, err := streams(filepath.Join(elsewhere, file.Path))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range file.TCP {
				_, differs := differences[file.Path+" "+want.Src]
				var got *stream
				for _, c := range ours {
					for d := range c.dirs {
						if s := &c.dirs[d]; got == nil && s.src == want.Src && s.dst == want.Dst {
							got = s
							s.src = "" // taken
						}
					}
				}
				if got == nil && differs {
					continue
				}
				if got == nil {
					t.Errorf("%s > %s: not seen", want.Src, want.Dst)
					continue
				}
				if want.SHA1 == "" {
					want.SHA1 = hex.EncodeToString(sha1.New().Sum(nil))
				}
				sum := sha1.Sum(got.contig.Bytes())
				w := fmt.Sprintf("syn %v fin %v rst %v span %d bytes %d gap %d contiguous %d conflict %v %s", want.SYN, want.FIN, want.RST, want.Span, want.Bytes, want.Gap, want.Contiguous, want.Conflict > 0, want.SHA1)
				g := fmt.Sprintf("syn %v fin %v rst %v span %d bytes %d gap %d contiguous %d conflict %v %s", got.Start == tcp.StartSYN, got.FIN, got.RST, got.End, got.Bytes, got.Gap, got.contig.Len(), got.Odd().Conflicts > 0, hex.EncodeToString(sum[:]))
				if differs != (w != g) {
					t.Errorf("%s > %s\nwant %s (below %d overlap %d %s)\ngot  %s\n%+v", want.Src, want.Dst, w, want.BelowBase, want.Overlap, want.Note, g, got.Stats)
				}
			}
		})
	}
}
