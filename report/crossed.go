package report

import (
	"fmt"
	"slices"
	"strings"

	"distproof/internal/plural"
)

// crossed tells of every connection in the clear what was sent over it, and of
// those that were decrypted.
func (p *page) crossed() {
	var clear, opened []*Connection
	for i := range p.doc.Connections {
		c := &p.doc.Connections[i]
		if c.Cleartext != nil && c.Cleartext.Account != "" {
			clear = append(clear, c)
		}
		if c.Decrypted != nil && c.Decrypted.Account != "" {
			opened = append(opened, c)
		}
	}
	// What made another node run something comes first.
	slices.SortStableFunc(clear, func(a, b *Connection) int { return len(b.Cleartext.Calls) - len(a.Cleartext.Calls) })
	p.accounts("WHAT CROSSED IN THE CLEAR", clear, func(c *Connection) {
		p.item(2, "- "+escape(c.Cleartext.Account)+" "+p.extent(c))
		p.payloads(c.Cleartext.Payloads)
	})
	p.accounts("READ INSIDE TLS WITH THE KEY LOG", opened, func(c *Connection) {
		x := c.Decrypted
		text := fmt.Sprintf("- %s (cookie %s)", escape(x.Account), x.Cookie)
		if x.Incomplete != "" {
			text += "; not everything: " + escape(x.Incomplete)
		}
		p.item(2, text)
	})
}

// accounts writes a section with an item for each connection.
func (p *page) accounts(title string, of []*Connection, item func(*Connection)) {
	if len(of) == 0 {
		return
	}
	p.heading(title)
	shown := p.capped(p.limits.crossed, len(of))
	for _, c := range of[:shown] {
		item(c)
	}
	if rest := len(of) - shown; rest > 0 {
		p.text(2, fmt.Sprintf("… and %s: -o wide and -o json have all.", plural.Of(rest, "more connection", "more connections")))
	}
}

// extent says how much crossed, and where.
func (p *page) extent(c *Connection) string {
	x := c.Cleartext
	frames := strings.TrimSuffix(p.frame(Evidence{Frame: x.FirstFrame, Input: c.Input}), ": ")
	if x.LastFrame > x.FirstFrame && len(p.doc.Inputs) == 1 {
		frames += fmt.Sprintf("–%d", x.LastFrame)
	}
	return fmt.Sprintf("(%s; %s and %d bytes from the client, %d and %d from the server)", frames,
		plural.Of(x.MessageCount.Client, "message", "messages"), x.Bytes.Client, x.MessageCount.Server, x.Bytes.Server)
}

// payloads shows the terms that were asked for.
func (p *page) payloads(payloads []Payload) {
	for _, x := range payloads {
		to := ""
		if x.Name != "" {
			to = " to " + escape(x.Name)
		}
		p.item(6, fmt.Sprintf("frame %d, %s's %s%s: %s", x.Frame, x.By, escape(x.Operation), to, escape(x.Text)))
	}
}
