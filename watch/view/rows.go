package view

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"distproof/capture/live"
	"distproof/report"
	"distproof/watch"
)

// A row is a connection, or a socket of which no packet was captured.
type row struct {
	// key is the same for the same connection in all States.
	key string
	// number grows with the order in which connections were seen.
	number int
	// conn is nil for a socket of the kernel's table.
	conn     *report.Connection
	activity watch.Activity
	socket   live.Socket
	words    report.Words
	state    string
}

// notSeen stands where other rows have a verdict.
const notSeen = "not seen"

// whyNotSeen is the reason of rows that are not seen.
const whyNotSeen = "up before the watch began, and no data of it captured: encrypted or not is not known before some is"

// between reports whether the row is, or may be, between nodes.
func (r *row) between() bool { return r.conn == nil || r.conn.Verdict != nil }

func (r *row) open() bool { return r.conn == nil || r.activity.Open }

func (r *row) mutual() bool { return r.words.Verdict == "mutual" }

// rowsOf makes rows of a State.
func rowsOf(s *watch.State) []row {
	rows := make([]row, 0, len(s.Document.Connections)+len(s.Known))
	for i := range s.Document.Connections {
		c := &s.Document.Connections[i]
		r := row{key: c.ID, number: numberOf(c.ID), conn: c, words: c.Words()}
		if i < len(s.Activity) {
			r.activity = s.Activity[i]
		}
		r.state = stateOf(c, r.activity)
		rows = append(rows, r)
	}
	return append(rows, knownRows(s)...)
}

// numberOf is 12 for c12.
func numberOf(id string) int {
	n, _ := strconv.Atoi(strings.TrimLeft(id, "c"))
	return n
}

// stateOf says how the connection is: that it is over or does not tick is news,
// but not how it failed to come up.
func stateOf(c *report.Connection, a watch.Activity) string {
	switch {
	case c.State == "tls-failed", c.State == "dist-refused":
		return c.State
	case !a.Open:
		return "closed"
	case a.Stalled:
		return "stalled"
	}
	return report.Escape(c.State)
}

func nodesByAddress(doc *report.Document) map[string]string {
	names := map[string]string{}
	for _, n := range doc.Nodes {
		for _, a := range n.Addresses {
			for _, p := range n.Ports {
				names[report.Endpoint{Address: a, Port: p}.Socket()] = n.Name
			}
		}
	}
	return names
}

// knownRows are the sockets of the kernel's. A connection within this host has
// two, and one row.
func knownRows(s *watch.State) []row {
	type pair [2]netip.AddrPort
	here := map[pair]live.Socket{}
	for _, socket := range s.Known {
		here[pair{socket.Local, socket.Remote}] = socket
	}
	names := nodesByAddress(s.Document)
	var rows []row
	for _, socket := range s.Known {
		other, within := here[pair{socket.Remote, socket.Local}]
		listens := isListener(s.Listeners, socket.Local)
		if within && (listens || socket.Local.Compare(socket.Remote) > 0 && !isListener(s.Listeners, other.Local)) {
			continue // the row is that of the end that dialled
		}
		client, server := socket.Local, socket.Remote
		if listens {
			client, server = server, client
		}
		rows = append(rows, knownRow(socket, client, server, names))
	}
	return rows
}

// isListener reports whether a local end belongs to a listener: then the other end
// dialled.
func isListener(listeners []live.Socket, local netip.AddrPort) bool {
	return slices.ContainsFunc(listeners, func(l live.Socket) bool { return takes(l.Local, local) })
}

func knownRow(s live.Socket, client, server netip.AddrPort, names map[string]string) row {
	name := func(a netip.AddrPort) string {
		return report.Escape(cmp.Or(names[a.String()], a.String()))
	}
	return row{
		key: s.Local.String() + "-" + s.Remote.String(), socket: s, state: "up",
		activity: watch.Activity{Open: true, Process: s.Process},
		words:    report.Words{Client: name(client), Server: name(server), TLS: "?", ClientCertificate: "unknown", Verdict: notSeen, Reason: whyNotSeen},
	}
}

// takes reports whether a listener takes connections to an address.
func takes(listener, local netip.AddrPort) bool {
	return listener.Port() == local.Port() && (listener.Addr().IsUnspecified() || listener.Addr() == local.Addr())
}

// A look is what one sees of a row: if it is another one, the row has changed.
type look struct {
	words    report.Words
	state    string
	findings int
	lossy    bool
}

func (r *row) look() look {
	l := look{words: r.words, state: r.state, lossy: r.activity.Lost > 0}
	if r.conn != nil {
		l.findings = len(r.conn.Findings)
	}
	return l
}

// An order is a way to sort rows. title is that of the column, if there is one.
type order struct {
	name, title string
	compare     func(a, b *row) int
}

// orders lists the ways to sort. Rows that compare equal come the newest first.
func orders() []order {
	text := func(f func(*row) string) func(a, b *row) int {
		return func(a, b *row) int { return strings.Compare(f(a), f(b)) }
	}
	return []order{
		{"worst", "VERDICT", worst},
		{"newest", "", func(a, b *row) int { return 0 }},
		{"client", "CLIENT", text(func(r *row) string { return r.words.Client })},
		{"server", "SERVER", text(func(r *row) string { return r.words.Server })},
		{"tls", "TLS", text(func(r *row) string { return r.words.TLS })},
		{"state", "STATE", text(func(r *row) string { return r.state })},
		{"rate", "RATE", func(a, b *row) int { return cmp.Compare(b.activity.Rate, a.activity.Rate) }},
		{"lost", "LOST", func(a, b *row) int { return cmp.Compare(b.activity.Lost, a.activity.Lost) }},
		{"process", "PROCESS", func(a, b *row) int { return cmp.Compare(a.activity.Process.ID, b.activity.Process.ID) }},
	}
}

// worst puts the worst verdicts first, and of the same those that are up, and
// those that do not tick.
func worst(a, b *row) int {
	return cmp.Or(
		cmp.Compare(badness(a), badness(b)),
		down(a.open(), b.open()),
		down(a.activity.Stalled, b.activity.Stalled),
	)
}

// badness is less for what is worse. What is not seen may be in the clear.
func badness(r *row) int {
	verdict := r.words.Verdict
	if verdict == notSeen {
		verdict = "inconclusive"
	}
	if i := slices.Index(report.VerdictWords(), verdict); i >= 0 {
		return i
	}
	return len(report.VerdictWords()) // no verdict: not between nodes
}

// down sorts true before false.
func down(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// A filter says which rows are shown.
type filter struct {
	// text has words that must all be in a row, or with a ! before them must not.
	text                string
	notMutual, onlyOpen bool
	// all also shows what is not between nodes.
	all bool
}

func (f filter) empty() bool { return strings.TrimSpace(f.text) == "" && !f.notMutual && !f.onlyOpen }

// words say what is left out.
func (f filter) words() string {
	var words []string
	if t := strings.TrimSpace(f.text); t != "" {
		words = append(words, fmt.Sprintf("%q", t))
	}
	if f.notMutual {
		words = append(words, "not mutual")
	}
	if f.onlyOpen {
		words = append(words, "open")
	}
	return strings.Join(words, ", ")
}

// choose returns the rows that pass the filter, sorted.
func choose(rows []row, f filter, o order, reverse bool) []*row {
	words := strings.Fields(strings.ToLower(f.text))
	var out []*row
	for i := range rows {
		r := &rows[i]
		if (f.all || r.between()) && (!f.notMutual || !r.mutual()) && (!f.onlyOpen || r.open()) && r.matches(words) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *row) int {
		n := cmp.Or(o.compare(a, b), cmp.Compare(b.number, a.number), strings.Compare(a.key, b.key))
		if reverse {
			return -n
		}
		return n
	})
	return out
}

// matches reports whether the row has all words, and none that begins with a !.
func (r *row) matches(words []string) bool {
	if len(words) == 0 {
		return true
	}
	text := strings.ToLower(r.text())
	for _, w := range words {
		unwanted, not := strings.CutPrefix(w, "!")
		if not && unwanted == "" {
			continue // still being typed
		}
		if strings.Contains(text, unwanted) == not {
			return false
		}
	}
	return true
}

// text is what a filter searches in.
func (r *row) text() string {
	w := r.words
	parts := []string{w.Client, w.Server, w.TLS, w.ClientCertificate, w.Verdict, r.state, w.Reason, processText(r.activity.Process)}
	if r.conn != nil {
		parts = append(parts, r.conn.ID, r.conn.Protocol, r.conn.Client.Socket(), r.conn.Server.Socket())
		parts = append(parts, r.conn.Findings...)
	} else {
		parts = append(parts, r.socket.Local.String(), r.socket.Remote.String())
	}
	return strings.Join(parts, "\n")
}

// processText names a process, with the beginning of its container's id.
func processText(p live.Process) string {
	if p.ID == 0 {
		return ""
	}
	text := fmt.Sprintf("%s %d", report.Escape(p.Name), p.ID)
	if p.Container != "" {
		text += " in " + report.Escape(p.Container[:min(12, len(p.Container))])
	}
	return text
}
