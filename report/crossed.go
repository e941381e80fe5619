package report

import (
	"fmt"
	"slices"
	"strings"
)

// crossed tells of every connection in the clear what was sent over it.
func (p *page) crossed() {
	var clear []*Connection
	for i := range p.doc.Connections {
		if c := &p.doc.Connections[i]; c.Cleartext != nil && c.Cleartext.Account != "" {
			clear = append(clear, c)
		}
	}
	if len(clear) == 0 {
		return
	}
	// What made another node run something comes first.
	slices.SortStableFunc(clear, func(a, b *Connection) int { return len(b.Cleartext.Calls) - len(a.Cleartext.Calls) })
	p.heading("WHAT CROSSED IN THE CLEAR")
	shown := p.capped(p.limits.crossed, len(clear))
	for _, c := range clear[:shown] {
		p.item(2, "- "+escape(c.Cleartext.Account)+" "+p.extent(c))
		p.payloads(c.Cleartext.Payloads)
	}
	if rest := len(clear) - shown; rest > 0 {
		p.text(2, fmt.Sprintf("… and %s: -o wide and -o json have all.", count(rest, "more connection", "more connections")))
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
		count(x.MessageCount.Client, "message", "messages"), x.Bytes.Client, x.MessageCount.Server, x.Bytes.Server)
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
