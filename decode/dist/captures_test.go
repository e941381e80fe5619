package dist

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"distproof/capture"
	"distproof/decode/tcp"
	"distproof/decode/wire"
	"distproof/internal/recorded"
)

// captureDirs are where recorded captures are looked for. The second holds more
// of them, and is not everywhere.
var captureDirs = []string{"../../pcaps", "../../../shared/captures"}

// A part is what a stream was delivered at once: bytes, or a gap.
type part struct {
	at  tcp.Position
	b   []byte
	gap int64
}

// sides collects what both directions of a connection were delivered.
type sides struct{ parts [2][]part }

func (s *sides) Data(d tcp.Dir, at tcp.Position, b []byte) {
	s.parts[d] = append(s.parts[d], part{at: at, b: append([]byte(nil), b...)})
}

func (s *sides) Gap(d tcp.Dir, at tcp.Position, n int64) {
	s.parts[d] = append(s.parts[d], part{at: at, gap: n})
}

// connections reassembles the connections of a capture, in the order in which
// they begin; the first direction is that of the first packet.
func connections(t *testing.T, path string) []*sides {
	t.Helper()
	return recorded.Connections(t, path, func() *sides { return new(sides) })
}

// eachCapture calls f for every capture whose name has the given part.
func eachCapture(t *testing.T, part string, f func(t *testing.T, path string)) {
	for _, dir := range captureDirs {
		paths, _ := filepath.Glob(filepath.Join(dir, "*.pcap"))
		for _, path := range paths {
			if strings.Contains(filepath.Base(path), part) {
				t.Run(filepath.Base(path), func(t *testing.T) { f(t, path) })
			}
		}
	}
}

// decodeParts feeds parts in pieces of at most n bytes.
func decodeParts(start Start, parts []part, n int) Facts {
	s := new(Tables).NewStream(Options{}, start)
	for _, p := range parts {
		if p.gap > 0 {
			s.Gap(p.at, p.gap)
			continue
		}
		for i := 0; i < len(p.b); i += n {
			s.Data(forward(p.at, i), p.b[i:min(i+n, len(p.b))])
		}
	}
	s.End()
	return s.Facts()
}

const whole = 1 << 30

// TestSegmentation feeds every direction of every capture in small pieces: the
// facts must not depend on them.
func TestSegmentation(t *testing.T) {
	eachCapture(t, "", func(t *testing.T, path string) {
		for i, c := range connections(t, path) {
			for side, parts := range c.parts {
				for _, start := range []Start{Midstream, AtHandshake} {
					want := decodeParts(start, parts, whole)
					for _, n := range []int{1, 7} {
						if got := decodeParts(start, parts, n); !reflect.DeepEqual(got, want) {
							t.Errorf("connection %d, side %d, start %d, in pieces of %d:\n got %+v\nwant %+v", i, side, start, n, got, want)
						}
					}
				}
			}
		}
	})
}

// TestOnlyDistributionIsRecognised runs the search over all that is not
// distribution in the clear.
func TestOnlyDistributionIsRecognised(t *testing.T) {
	eachCapture(t, "", func(t *testing.T, path string) {
		name := filepath.Base(path)
		if strings.Contains(name, "plain") || strings.Contains(name, "mixed") {
			t.Skip("has distribution in the clear")
		}
		for i, c := range connections(t, path) {
			for side, parts := range c.parts {
				if f := decodeParts(Midstream, parts, whole); f.Recognition != NotRecognised {
					t.Errorf("connection %d, side %d is recognised by %v", i, side, f.Recognition)
				}
			}
		}
	})
}

// TestThirdParty does the same with captures of other protocols.
func TestThirdParty(t *testing.T) {
	const dir = "../../../shared/third-party"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no captures of other projects here")
	}
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if ext := filepath.Ext(path); err != nil || e.IsDir() || ext != ".pcap" && ext != ".pcapng" && ext != ".cap" {
			return nil
		}
		files, err := capture.Open([]string{path}, capture.Options{})
		if err != nil {
			return nil
		}
		files.Close()
		for i, c := range connections(t, path) {
			for side, parts := range c.parts {
				if f := decodeParts(Midstream, parts, whole); f.Recognition != NotRecognised || f.Tentative {
					t.Errorf("%s: connection %d, side %d is recognised by %v at %+v", path, i, side, f.Recognition, f.RecognisedAt)
				}
				if len(parts) > 0 && len(parts[0].b) > 2 && MatchHandshake(parts[0].b) != wire.No {
					t.Errorf("%s: connection %d, side %d matches: % x", path, i, side, parts[0].b[:min(16, len(parts[0].b))])
				}
			}
		}
		return nil
	})
}

// TestPlain decodes a whole session between two nodes.
func TestPlain(t *testing.T) {
	eachCapture(t, "plain", func(t *testing.T, path string) {
		name := strings.TrimSuffix(filepath.Base(path), ".pcap")
		var found []*sides
		for _, c := range connections(t, path) {
			if decodeParts(Midstream, c.parts[0], whole).Recognition != NotRecognised {
				found = append(found, c)
			}
		}
		if strings.HasSuffix(name, "tls_to_plain") {
			if len(found) != 0 {
				t.Errorf("%d connections are recognised", len(found))
			}
			return
		}
		if len(found) == 0 {
			t.Fatal("nothing is recognised")
		}
		for _, c := range found {
			client, server := decodeParts(Midstream, c.parts[0], whole), decodeParts(Midstream, c.parts[1], whole)
			if strings.HasSuffix(name, "midstream_plain") {
				if client.Recognition != ByFraming || server.Recognition != ByFraming || client.Ticks.Count != 3 || server.Ticks.Count != 3 {
					t.Errorf("got %+v\nand %+v", client, server)
				}
				continue
			}
			h := client.Handshake
			if client.Recognition != ByHandshake || client.Role != Client || h.Version != 6 || strings.Contains(h.Name, "@") == h.NameIsHost || !client.InFrame || client.Foreign || h.Flags.AtLeast() < 23 {
				t.Errorf("client: %+v", client)
			}
			if strings.HasSuffix(name, "plain_to_tls") {
				if server.Recognition != NotRecognised || client.Connected {
					t.Errorf("a TLS alert is recognised: %+v", server)
				}
				continue
			}
			status, caller := "ok", client
			if h.NameIsHost { // it was given a name, and others called it
				status, caller = "named", server
				if !strings.HasSuffix(server.Handshake.GivenName, "@"+h.Name) {
					t.Errorf("%s is named %q", h.Name, server.Handshake.GivenName)
				}
			}
			if server.Recognition != ByHandshake || server.Role != Server || server.Handshake.Status != status || !server.InFrame || !h.Proved {
				t.Errorf("server: %+v", server)
			}
			refused := strings.HasSuffix(name, "plain_badcookie")
			if server.Handshake.Ack == refused || client.Connected == refused || server.Connected == refused {
				t.Errorf("refused: %v\nclient %+v\nserver %+v", refused, client, server)
			}
			if refused {
				continue
			}
			if client.Messages[Unknown]+server.Messages[Unknown]+client.Unnamed+server.Unnamed != 0 {
				t.Errorf("not all is decoded: %v %v %d %d", client.Messages, server.Messages, client.Unnamed, server.Unnamed)
			}
			// rabbitmqctl's hidden node only spawns.
			if caller.RegisteredNames["rex"] != 1 && caller.Spawned["erpc:execute_call"] == 0 {
				t.Errorf("names: %v %v", caller.RegisteredNames, caller.Spawned)
			}
		}
	})
}

// TestLoss takes parts of real streams away: what is left may say less, but
// not something else.
func TestLoss(t *testing.T) {
	eachCapture(t, "plain", func(t *testing.T, path string) {
		for i, c := range connections(t, path) {
			for side, parts := range c.parts {
				full := decodeParts(Midstream, parts, whole)
				step := 1 + len(parts)/60
				for k := 0; k < len(parts); k += step {
					lossy := append([]part(nil), parts...)
					lossy[k] = part{at: parts[k].at, gap: parts[k].gap + int64(len(parts[k].b))}
					weaker(t, full, decodeParts(Midstream, lossy, whole), "connection %d, side %d without part %d", i, side, k)
					weaker(t, full, decodeParts(Midstream, parts[k:], whole), "connection %d, side %d from part %d", i, side, k)
					cut := decodeParts(Midstream, parts[:k], whole)
					weaker(t, full, cut, "connection %d, side %d up to part %d", i, side, k)
				}
			}
		}
	})
}

func weaker(t *testing.T, full, got Facts, format string, args ...any) {
	t.Helper()
	bad := got.Recognition > full.Recognition || got.Foreign && !full.Foreign ||
		got.Role != RoleUnknown && got.Role != full.Role ||
		got.Handshake.Name != "" && got.Handshake.Name != full.Handshake.Name ||
		got.Handshake.Ack && !full.Handshake.Ack || got.Ticks.Count > full.Ticks.Count
	for op, n := range got.Messages {
		bad = bad || op != Unknown && n > full.Messages[op]
	}
	for name, n := range got.RegisteredNames {
		bad = bad || n > full.RegisteredNames[name]
	}
	if bad {
		t.Errorf(format+":\n got %+v\nfull %+v", append(args, got, full)...)
	}
}
