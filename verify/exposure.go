package verify

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"distproof/decode"
	"distproof/decode/epmd"
	"distproof/decode/tcp"
)

// From how many hosts or ports on a client counts as one that scans. Partitions
// and hosts that are gone make nodes dial a few in vain.
const (
	// scanHosts is of hosts whose port mappers were tried, and of which none
	// named a node's port to the client.
	scanHosts = 16
	// scanPorts is of ports of one host to which nothing was sent.
	scanPorts = 32
)

// portMappers has the rules about who reaches port mappers, and what for.
func (r *ruler) portMappers() {
	said := sayings{ruler: r}
	for _, c := range r.sorted.toEPMD {
		for _, e := range c.Exchanges() {
			evidence := func() Evidence { return Evidence{e.At.Frame, r.text("%s", tells(c, e))} }
			if s, text := commanded(c, e); text != "" {
				said.add(EPMDControlled, s, text, c, evidence())
			}
			if s, text := r.reached(c, e); text != "" {
				said.add(EPMDReached, s, text, c, evidence())
			}
			if port := c.Ends[decode.Server].Address.Port(); c.Protocol == decode.EPMD && !r.options.Policy.listens(port) {
				r.add(EPMDReached, High, c, fmt.Sprintf("EPMD answers on port %d, which is outside the allowed ports", port), evidence()).by("epmd.ports")
			}
		}
	}
	said.file()
	r.scannedHosts()
	r.scannedPorts()
}

// sayings gather what is said of several addresses into one finding.
type sayings struct {
	ruler *ruler
	list  []*saying
	index map[sayingKey]*saying
}

type sayingKey struct {
	rule     Rule
	severity Severity
	text     string // with %s for the addresses
}

type saying struct {
	sayingKey
	who   []string
	known map[netip.Addr]bool
	parts []part
}

type part struct {
	c        *decode.Connection
	evidence Evidence
}

func (s *sayings) add(rule Rule, severity Severity, text string, c *decode.Connection, e Evidence) {
	if s.index == nil {
		s.index = make(map[sayingKey]*saying)
	}
	key := sayingKey{rule, severity, text}
	f := s.index[key]
	if f == nil {
		f = &saying{sayingKey: key, known: make(map[netip.Addr]bool)}
		s.index[key] = f
		s.list = append(s.list, f)
	}
	if who := c.Ends[decode.Client].Address.Addr(); !f.known[who] {
		f.known[who] = true
		f.who = append(f.who, who.String())
	}
	f.parts = append(f.parts, part{c, e})
}

// file makes findings of what was said.
func (s *sayings) file() {
	for _, f := range s.list {
		message := fmt.Sprintf(f.text, enumerate(f.who))
		for _, p := range f.parts {
			s.ruler.add(f.rule, f.severity, p.c, message, p.evidence)
		}
	}
}

// ownHost reports whether the client is on the port mapper's host, as EPMD sees
// it (epmd_srv.c): over loopback, or with the same address.
func ownHost(c *decode.Connection) bool {
	client, server := c.Ends[decode.Client].Address.Addr().Unmap(), c.Ends[decode.Server].Address.Addr().Unmap()
	return client == server || client.IsLoopback()
}

// allowedToAsk returns the networks from which port mappers may be reached.
func (r *ruler) allowedToAsk() Networks {
	if len(r.options.EPMDNetworks) > 0 {
		return r.options.EPMDNetworks
	}
	return private
}

// reached judges from where a port mapper was reached. The text is empty if
// there is nothing to say.
func (r *ruler) reached(c *decode.Connection, e epmd.Exchange) (Severity, string) {
	if ownHost(c) {
		return "", ""
	}
	client, server := c.Ends[decode.Client].Address.Addr(), c.Ends[decode.Server].Address.Addr()
	allowed, opened := r.allowedToAsk(), cameUp(c)
	switch {
	case !allowed.Has(client) && opened:
		return High, "EPMD was reached from outside the allowed networks, by %s"
	case !allowed.Has(client):
		return Medium, "a connection to EPMD was attempted from outside the allowed networks, by %s, without success as far as captured"
	case opened && !private.Has(client):
		return Low, "EPMD was reached over public networks, by %s; the allowed ones include it"
	case opened && !private.Has(server) && !allowed.Has(server):
		return Medium, "EPMD was reached at a public address, by %s"
	case e.Op == epmd.NamesReq:
		return Info, "EPMD was asked for the names of all nodes from another host, by %s"
	}
	return "", ""
}

// cameUp reports whether a connection was opened, as far as was captured.
func cameUp(c *decode.Connection) bool {
	client, server := c.TCP[decode.Client], c.TCP[decode.Server]
	return server.Start == tcp.StartSYN || client.End+server.End > 0
}

// commanded judges the requests that EPMD takes from its own host only. The text
// is empty if there is nothing to say.
func commanded(c *decode.Connection, e epmd.Exchange) (Severity, string) {
	text := ""
	switch e.Op {
	case epmd.DumpReq:
		text = "EPMD was asked for a dump of all names by %s"
	case epmd.KillReq:
		text = "EPMD was told to end by %s"
	case epmd.StopReq:
		text = "EPMD was told to forget a node by %s"
	case epmd.Alive2Req:
		text = "EPMD was asked to register a node by %s"
	default:
		return "", ""
	}
	if ownHost(c) {
		return commandedAtHome(e, text+", on its own host")
	}
	text += ", from another host"
	switch e.Outcome {
	case epmd.Refused:
		return Medium, text + ", and refused"
	case epmd.Unanswered:
		return Medium, text + "; no answer was captured"
	}
	if e.Op == epmd.KillReq || e.Op == epmd.StopReq {
		return Critical, text + ", and obeyed"
	}
	return High, text + ", and obeyed"
}

// commandedAtHome judges them on EPMD's own host, where they are an
// administrator's tools, and every user's.
func commandedAtHome(e epmd.Exchange, text string) (Severity, string) {
	switch {
	case e.Op == epmd.Alive2Req:
		return "", "" // every node does so
	case e.Op == epmd.DumpReq:
		return Info, text
	case e.Outcome == epmd.Accepted:
		return Low, text + ", and obeyed"
	}
	return Info, text
}

// tells says in words who asked what, and what became of it.
func tells(c *decode.Connection, e epmd.Exchange) string {
	client, server := c.Ends[decode.Client].Address.Addr(), c.Ends[decode.Server].Address
	node := "a node"
	if e.Node != "" {
		node = fmt.Sprintf("%q", e.Node)
	}
	what := map[string]string{
		epmd.NamesReq:       fmt.Sprintf("asked %s for all names", server),
		epmd.DumpReq:        fmt.Sprintf("asked %s for a dump of all names", server),
		epmd.KillReq:        fmt.Sprintf("told %s to end", server),
		epmd.StopReq:        fmt.Sprintf("told %s to forget %s", server, node),
		epmd.Alive2Req:      fmt.Sprintf("asked %s to register %s", server, node),
		epmd.PortPlease2Req: fmt.Sprintf("asked %s for the port of %s", server, node),
		decode.NoRequest:    fmt.Sprintf("dialled %s", server),
	}[e.Op]
	if what == "" {
		what = fmt.Sprintf("sent %s something that is not an EPMD request", server)
	}
	return fmt.Sprintf("%s %s: %s", client, what, became(e))
}

func became(e epmd.Exchange) string {
	switch {
	case e.Op == decode.NoRequest && e.Outcome == epmd.Accepted:
		return "the connection came up, nothing was asked"
	case e.Outcome == epmd.Accepted:
		return "answered"
	case e.Outcome == epmd.Refused && (e.Answered || e.Op == decode.NoRequest):
		return "refused"
	case e.Outcome == epmd.Refused:
		return "closed without an answer"
	}
	return "no answer captured"
}

// scannedHosts finds clients that try the port mappers of many hosts and learn
// no node's port from them. Who looks for nodes to connect to them, as
// net_adm:world/0 does, learns some.
func (r *ruler) scannedHosts() {
	type target struct{ client, server netip.Addr }
	learnt := make(map[target]bool)
	for _, c := range r.sorted.toEPMD {
		for _, e := range c.Exchanges() {
			if e.Op == epmd.PortPlease2Req && e.Outcome == epmd.Accepted {
				learnt[target{c.Ends[decode.Client].Address.Addr(), c.Ends[decode.Server].Address.Addr()}] = true
			}
		}
	}
	s := scans{ruler: r, text: "%s tried the port mappers of %d hosts and learnt no node's port from them: a scan, a monitor, or hosts that are gone", least: scanHosts}
	seen := make(map[target]bool)
	for _, c := range r.sorted.toEPMD {
		t := target{c.Ends[decode.Client].Address.Addr(), c.Ends[decode.Server].Address.Addr()}
		if !ownHost(c) && !learnt[t] && !seen[t] {
			seen[t] = true
			s.add(t.client, t.client.String(), c)
		}
	}
	s.file()
}

// scannedPorts finds clients that open many ports of one host and send nothing,
// if a port mapper's or one of distribution is among them.
func (r *ruler) scannedPorts() {
	type target struct{ client, server netip.Addr }
	type port struct {
		target
		port uint16
	}
	if len(r.sorted.empty) < scanPorts {
		return
	}
	concerned := make(map[target]bool)
	for _, c := range r.capture.Connections {
		if c.ToEPMD || c.Announced() {
			concerned[target{c.Ends[decode.Client].Address.Addr(), c.Ends[decode.Server].Address.Addr()}] = true
		}
	}
	s := scans{ruler: r, text: "%s and sent nothing to %d of its ports, EPMD's or one of distribution among those it tried: a scan", least: scanPorts}
	seen := make(map[port]bool)
	for _, c := range r.sorted.empty {
		t := target{c.Ends[decode.Client].Address.Addr(), c.Ends[decode.Server].Address.Addr()}
		p := port{t, c.Ends[decode.Server].Address.Port()}
		if concerned[t] && !ownHost(c) && !seen[p] {
			seen[p] = true
			s.add(t.client, fmt.Sprintf("%s dialled %s", t.client, t.server), c)
		}
	}
	s.file()
}

// scans counts what looks like a scan, by who does it.
type scans struct {
	ruler *ruler
	text  string // with %s for the subject and %d for the number
	least int
	list  []*scan
	index map[string]*scan
}

type scan struct {
	client      netip.Addr
	subject     string
	connections []*decode.Connection
}

func (s *scans) add(client netip.Addr, subject string, c *decode.Connection) {
	if s.index == nil {
		s.index = make(map[string]*scan)
	}
	x := s.index[subject]
	if x == nil {
		x = &scan{client: client, subject: subject}
		s.index[subject] = x
		s.list = append(s.list, x)
	}
	x.connections = append(x.connections, c)
}

func (s *scans) file() {
	slices.SortStableFunc(s.list, func(a, b *scan) int { return cmp.Compare(len(b.connections), len(a.connections)) })
	for _, x := range s.list {
		n := len(x.connections)
		if n < s.least {
			return
		}
		severity := Medium
		if !s.ruler.allowedToAsk().Has(x.client) {
			severity = High
		}
		message := fmt.Sprintf(s.text, x.subject, n)
		s.ruler.add(EPMDReached, severity, x.connections[0], message, Evidence{x.connections[0].FirstFrame, fmt.Sprintf("the first of %d connections", n)})
		for _, c := range x.connections[1:] {
			s.ruler.add(EPMDReached, severity, c, message)
		}
	}
}
