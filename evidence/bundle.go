package evidence

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"distproof/capture"
	"distproof/decode"
	"distproof/report"
)

// ordinarySnaplen is the snapshot length of an interface whose packets are not
// longer: tcpdump's.
const ordinarySnaplen = 256 << 10

// bundle puts together the packets of a job, and checks what they show.
func (w *writer) bundle(j job, picks map[int]*pick, s *spool) (*bundle, error) {
	b := &bundle{job: j, name: nameOf(&w.c.Document.Connections[j.connection]), whole: true}
	var places []place
	owner := make(map[place]int)
	notes := make(notes)
	for _, i := range connectionsOf(j) {
		p := picks[i]
		b.whole = b.whole && !p.leftOut
		places = append(places, p.places...)
		for _, at := range p.places {
			owner[at] = i
		}
		notes.connection(w.c.Facts.Connections[i], w.c.Facts.Connections[j.connection])
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.number, b.number) })
	var packets []*capture.Packet
	for _, at := range places {
		packet, err := s.read(at.offset)
		if err != nil {
			return nil, err
		}
		packets = append(packets, packet)
		b.frames = append(b.frames, Frame{
			Frame: uint32(len(packets)), Input: int(packet.Frame.Input), Original: packet.Frame.Number,
			Connection: w.c.Document.Connections[owner[at]].ID, Shows: notNil(notes[packet.Frame]),
		})
	}
	if err := w.assemble(b, packets); err != nil {
		return nil, err
	}
	return b, w.check(b)
}

// assemble makes the pcapng of the bundle.
func (w *writer) assemble(b *bundle, packets []*capture.Packet) error {
	var out bytes.Buffer
	tool := w.c.Document.Tool
	c := &w.c.Document.Connections[b.job.connection]
	about := fmt.Sprintf("Evidence for %s, %s to %s: %s: %s. Facts: %s.json", c.ID, c.Client.Label(), c.Server.Label(), *c.Verdict, c.Reason, b.name)
	pcapng := capture.NewWriter(&out, strings.TrimSpace(tool.Name+" "+tool.Version), report.Escape(about))
	if text := w.secretsOf(b.job.connection); text != nil {
		b.secret = true
		if err := pcapng.WriteSecrets(text); err != nil {
			return err
		}
	}
	snaplen := uint32(ordinarySnaplen)
	for _, p := range packets {
		snaplen = max(snaplen, uint32(len(p.Data)))
	}
	for i, p := range packets {
		if !pcapng.HasInterface(p) {
			if err := pcapng.WriteInterface(p, report.Escape("packets of "+w.c.Inputs[p.Frame.Input].Path), snaplen); err != nil {
				return err
			}
		}
		if err := pcapng.WritePacket(p, w.commentsOf(b.frames[i])...); err != nil {
			return err
		}
	}
	b.packets = out.Bytes()
	return nil
}

// commentsOf returns the comment on a packet: what it shows, and which of the
// original it is.
func (w *writer) commentsOf(f Frame) []string {
	if len(f.Shows) == 0 {
		return nil
	}
	origin := fmt.Sprintf("original frame %d", f.Original)
	if len(w.c.Inputs) > 1 {
		origin += " of " + report.Escape(w.c.Inputs[f.Input].Path)
	}
	return []string{strings.Join(f.Shows, "; ") + " [" + origin + "]"}
}

// secretsOf returns a key log with the two handshake traffic secrets of a
// connection; nil if they are not wanted or not known. They must have opened the
// handshake: of others it is not certain that they are what their label says.
func (w *writer) secretsOf(i int) []byte {
	f := w.c.Facts.Connections[i].TLS
	if !w.o.IncludeSecrets || w.c.Secrets == nil || f == nil || f.Client == nil || !f.Version.Is13() || f.KeyLog != "opened" {
		return nil
	}
	s := w.c.Secrets.Lookup(f.Client.Random)
	if s == nil || s.ClientHandshake == nil || s.ServerHandshake == nil {
		return nil
	}
	return fmt.Appendf(nil, "CLIENT_HANDSHAKE_TRAFFIC_SECRET %x %x\nSERVER_HANDSHAKE_TRAFFIC_SECRET %x %x\n",
		f.Client.Random, s.ClientHandshake, f.Client.Random, s.ServerHandshake)
}

// differ says in words what a bundle gives instead of the original's verdict,
// or "". The reason is part of the verdict; that ticks were seen, which takes
// long, is not.
func differ(want, got *report.Connection) string {
	switch {
	case got.Verdict == nil:
		return fmt.Sprintf("no verdict (%s), not %s", got.Reason, *want.Verdict)
	case *got.Verdict != *want.Verdict:
		return fmt.Sprintf("%s (%s), not %s", *got.Verdict, got.Reason, *want.Verdict)
	case got.State != want.State:
		return fmt.Sprintf("%s, state %s, not %s", *got.Verdict, got.State, want.State)
	case got.Reason != want.Reason:
		return fmt.Sprintf("%s, because: %s; not because: %s", *got.Verdict, got.Reason, want.Reason)
	case got.Protocol != want.Protocol || !sameBasis(want.ProtocolBasis, got.ProtocolBasis):
		return fmt.Sprintf("%s by %v, not %s by %v", got.Protocol, got.ProtocolBasis, want.Protocol, want.ProtocolBasis)
	}
	if g, w := certificates(got), certificates(want); g != w {
		return fmt.Sprintf("%s with the %s, not the %s", *got.Verdict, g, w)
	}
	return ""
}

// sameBasis reports whether got is as good a reason as want to take a connection
// for one of distribution. Beside others, ticks need not be in a bundle, which
// take long, nor what was decrypted, which takes more than handshake secrets.
func sameBasis(want, got []string) bool {
	settled := func(s []string) []string {
		more := func(b string) bool { return b == decode.ByTicks || b == decode.ByDecryption }
		if rest := slices.DeleteFunc(slices.Clone(s), more); len(rest) > 0 {
			return rest
		}
		return s
	}
	return slices.Equal(settled(want), settled(got))
}

// certificates says how both certificates are known.
func certificates(c *report.Connection) string {
	out := "client's certificate not looked for"
	if x := c.ClientCertificate; x != nil {
		out = fmt.Sprintf("client's certificate %s (%s), its key %s", x.Status, x.Basis, x.Possession)
	}
	if x := c.ServerCertificate; x != nil {
		out += fmt.Sprintf(", the server's %s, its key %s", x.Basis, x.Possession)
	}
	return out
}

// maxLabel bounds each of the two names of nodes in a file's name.
const maxLabel = 60

// nameOf returns the name of a bundle's files. Names of nodes are what somebody
// sent: they cannot lead out of the folder, nor be mistaken for a flag or for
// anything in a shell.
func nameOf(c *report.Connection) string {
	return c.ID + "-" + label(c.Client) + "-" + label(c.Server)
}

func label(e report.Endpoint) string {
	text := e.Node
	switch {
	case text != "":
	case e.Host != "":
		text = "unknown@" + e.Host
	default:
		text = e.Address
	}
	safe := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("@._-", r):
			return r
		}
		return '_'
	}, text)
	return safe[:min(len(safe), maxLabel)]
}

func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
