package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/fact"
	"distproof/decode/tcp"
	"distproof/internal/plural"
	"distproof/verify"
)

var sideNames = [2]string{decode.Client: "client", decode.Server: "server"}

func newCleartext(c *decode.Connection) *Cleartext {
	out := &Cleartext{Messages: map[string]uint64{}, RegisteredNames: map[string]uint64{}, Calls: newCalls(c.Dist), Payloads: []Payload{}}
	var counts [2]uint64
	var first, last tcp.Position
	for side := range c.Dist {
		d := &c.Dist[side]
		if d.Bytes == 0 {
			continue
		}
		counts[side] = countMessages(out.Messages, out.RegisteredNames, d)
		out.CookieDigestExposed = out.CookieDigestExposed || d.Handshake.Proved
		if at := d.RecognisedAt; at.Frame.Number != 0 && (first.Frame.Number == 0 || before(at, first) < 0) {
			first = at
		}
		last = later(last, lastOf(d))
		for _, p := range d.Payloads {
			out.Payloads = append(out.Payloads, Payload{
				By: sideNames[side], Operation: p.Operation, Name: p.Name, Function: p.Call.Function, Frame: p.At.Frame.Number, Text: p.Text, Whole: p.Whole,
			})
		}
	}
	out.FirstFrame, out.LastFrame = first.Frame.Number, last.Frame.Number
	out.Bytes = Counts{uint64(c.Dist[decode.Client].Bytes), uint64(c.Dist[decode.Server].Bytes)}
	out.MessageCount = Counts{counts[decode.Client], counts[decode.Server]}
	out.Account = account(c, c.Dist, "in the clear")
	return out
}

func newDecrypted(c *decode.Connection) *Decrypted {
	client, server := c.TLS.Opened[decode.Client], c.TLS.Opened[decode.Server]
	out := &Decrypted{
		Bytes: Counts{client.Bytes, server.Bytes}, Incomplete: cmp.Or(client.Stopped, server.Stopped),
		Cookie:   map[fact.Value]string{fact.Yes: "accepted", fact.No: "refused", fact.Unknown: "unknown"}[c.CookieAccepted().Value],
		Messages: map[string]uint64{}, RegisteredNames: map[string]uint64{}, Calls: []Call{},
	}
	if !c.IsDecrypted {
		return out
	}
	for side := range c.Decrypted {
		countMessages(out.Messages, out.RegisteredNames, &c.Decrypted[side])
	}
	out.Calls, out.Account = newCalls(c.Decrypted), account(c, c.Decrypted, "inside TLS")
	return out
}

// countMessages adds what one side sent of distribution's messages, and returns
// how many they were without ticks.
func countMessages(messages, names map[string]uint64, d *dist.Facts) uint64 {
	sum := uint64(0)
	for op, n := range d.Messages {
		messages[op] += n
		sum += n
	}
	if d.Ticks.Count > 0 {
		messages["TICK"] += d.Ticks.Count
	}
	for name, n := range d.RegisteredNames {
		names[name] += n
	}
	return sum
}

// lastOf returns where the last began that is known of a side's messages.
func lastOf(d *dist.Facts) tcp.Position {
	last := d.RecognisedAt
	if len(d.Messages) > 0 {
		last = later(last, d.LastMessage)
	}
	if d.Ticks.Count > 0 {
		last = later(last, d.Ticks.Last)
	}
	return last
}

func later(a, b tcp.Position) tcp.Position {
	if b.Time > a.Time {
		return b
	}
	return a
}

// newCalls lists what the nodes told each other to run, the first call first.
func newCalls(sides *[2]dist.Facts) []Call {
	type use struct {
		Call
		first tcp.Position
	}
	var all []use
	for side := range sides {
		for call, uses := range sides[side].Calls {
			all = append(all, use{Call{
				By: sideNames[side], Means: call.Means.String(), Function: call.Function, Count: uses.Count,
				FirstFrame: uses.First.Frame.Number, LastFrame: uses.Last.Frame.Number,
			}, uses.First})
		}
	}
	slices.SortFunc(all, func(a, b use) int {
		return cmp.Or(before(a.first, b.first), strings.Compare(a.By, b.By), strings.Compare(a.Means, b.Means), strings.Compare(a.Function, b.Function))
	})
	out := []Call{}
	for _, u := range all {
		out = append(out, u.Call)
	}
	return out
}

// before orders positions. Frames count anew in every input.
func before(a, b tcp.Position) int {
	return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Frame.Input, b.Frame.Input), cmp.Compare(a.Frame.Number, b.Frame.Number))
}

// maxAccount bounds the calls that a sentence names.
const maxAccount = 3

// account says in a sentence what crossed the connection, and how. What tells
// most comes first: calls, then names, then messages, then the handshake alone.
func account(c *decode.Connection, sides *[2]dist.Facts, how string) string {
	var names [2]string
	for side, e := range c.Ends {
		names[side] = newEndpoint(e, e.Address.Addr().String()).Label()
	}
	if calls := newCalls(sides); len(calls) > 0 {
		return callAccount(calls, names, how)
	}
	registered, messages := map[string]uint64{}, uint64(0)
	for side := range sides {
		messages += countMessages(map[string]uint64{}, registered, &sides[side])
	}
	both := names[decode.Client] + " and " + names[decode.Server]
	switch {
	case messages > 0 && len(registered) > 0:
		return fmt.Sprintf("%s exchanged %s %s, among them to %s", both, plural.Of(messages, "message", "messages"), how, listNames(registered))
	case messages > 0:
		return fmt.Sprintf("%s exchanged %s %s", both, plural.Of(messages, "message", "messages"), how)
	case sides[decode.Client].Ticks.Count+sides[decode.Server].Ticks.Count > 0:
		return fmt.Sprintf("%s kept their connection alive %s, and sent nothing else", both, how)
	}
	return fmt.Sprintf("%s introduced itself to %s %s, and no message followed", names[decode.Client], names[decode.Server], how)
}

// callAccount tells of the calls of which there were most, and not whether rpc or
// erpc made them.
func callAccount(calls []Call, names [2]string, how string) string {
	type deed struct {
		text  string
		count uint64
	}
	var deeds []deed
	for _, call := range calls {
		from, to := names[decode.Client], names[decode.Server]
		if call.By == sideNames[decode.Server] {
			from, to = to, from
		}
		verb := "called"
		switch call.Means {
		case dist.BySpawn.String():
			verb = "spawned"
		case dist.ByRequest.String():
			verb = "asked for"
		}
		text := from + " " + verb + " " + call.Function + " on " + to
		if i := slices.IndexFunc(deeds, func(d deed) bool { return d.text == text }); i >= 0 {
			deeds[i].count += call.Count
		} else {
			deeds = append(deeds, deed{text, call.Count})
		}
	}
	slices.SortStableFunc(deeds, func(a, b deed) int { return cmp.Compare(b.count, a.count) })
	var parts []string
	for _, d := range deeds[:min(len(deeds), maxAccount)] {
		parts = append(parts, d.text+" "+verify.Often(d.count))
	}
	text := strings.Join(parts, ", ") + " " + how
	if more := len(deeds) - len(parts); more > 0 {
		text += ", and " + plural.Of(more, "more function", "more functions")
	}
	return text
}

// listNames lists the names that were used most.
func listNames(names map[string]uint64) string {
	var list []string
	for name := range names {
		list = append(list, name)
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(cmp.Compare(names[b], names[a]), strings.Compare(a, b)) })
	text := strings.Join(list[:min(len(list), maxAccount)], ", ")
	if more := len(list) - maxAccount; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
