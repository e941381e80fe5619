package report

import (
	"cmp"

	"distproof/decode"
	"distproof/decode/fact"
)

func newDecrypted(c *decode.Connection) *Decrypted {
	client, server := c.TLS.Opened[decode.Client], c.TLS.Opened[decode.Server]
	out := &Decrypted{
		Bytes: Counts{client.Bytes, server.Bytes}, Incomplete: cmp.Or(client.Stopped, server.Stopped),
		Cookie:   map[fact.Value]string{fact.Yes: "accepted", fact.No: "refused", fact.Unknown: "unknown"}[c.CookieAccepted().Value],
		Messages: map[string]uint64{}, RegisteredNames: map[string]uint64{},
	}
	for side := range c.Decrypted {
		countMessages(out.Messages, out.RegisteredNames, &c.Decrypted[side])
	}
	return out
}
