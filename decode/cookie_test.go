package decode

import (
	"testing"

	"distproof/decode/dist"
	"distproof/decode/fact"
	"distproof/decode/tls"
)

// Whether the cookie was refused can be told only if all was decrypted that the
// server sent.
func TestCookieAccepted(t *testing.T) {
	reply, ack := dist.Facts{Handshake: dist.Handshake{Reply: true}}, dist.Facts{Handshake: dist.Handshake{Ack: true}}
	went := func(f dist.Facts) dist.Facts { f.Connected = true; return f }
	for name, row := range map[string]struct {
		sides   [2]dist.Facts
		stopped string
		ending  tls.Ending
		want    fact.Value
	}{
		"accepted":                             {[2]dist.Facts{went(reply), ack}, "", tls.Ending{}, fact.Yes},
		"both went on":                         {[2]dist.Facts{went(reply), went(dist.Facts{})}, "", tls.Ending{}, fact.Yes},
		"closed after the proof":               {[2]dist.Facts{reply, {}}, "", tls.Ending{Whole: true, ClosedBy: tls.RoleServer}, fact.No},
		"not whole":                            {[2]dist.Facts{reply, {}}, "", tls.Ending{ClosedBy: tls.RoleServer}, fact.Unknown},
		"the capture ends":                     {[2]dist.Facts{reply, {}}, "", tls.Ending{Whole: true}, fact.Unknown},
		"not all decrypted":                    {[2]dist.Facts{went(reply), {}}, "the handshake could not be opened", tls.Ending{Whole: true, ClosedBy: tls.RoleServer}, fact.Unknown},
		"the server's proof alone, and closed": {[2]dist.Facts{reply, ack}, "", tls.Ending{Whole: true, ClosedBy: tls.RoleClient}, fact.Unknown},
	} {
		c := Connection{IsDecrypted: true, Decrypted: &row.sides, Ending: row.ending, TLS: &tls.Facts{Session: new(tls.Session)}}
		c.TLS.Opened[Server].Stopped = row.stopped
		if got := c.CookieAccepted(); got.Value != row.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What was opened and is no distribution is not called so for the sizes and the
// spacing of its records.
func TestOpenedIsNoDistribution(t *testing.T) {
	for opened, want := range map[uint64]Protocol{0: DistTLS, 100: TLS} {
		c := Connection{Protocol: TLS, TLS: &tls.Facts{Session: &tls.Session{Distribution: true, Ticks: true, Shape: tls.Shape{ClientName: 11, ServerName: 12}}}}
		c.TLS.Opened = [2]tls.Opened{{Bytes: opened}, {Bytes: opened}}
		c.identifyTLS()
		if named := c.Ends[Server].NodeLength != 0; c.Protocol != want || named != (want == DistTLS) {
			t.Errorf("%d bytes opened: %s by %v, name of %d bytes", opened, c.Protocol, c.ProtocolBasis, c.Ends[Server].NodeLength)
		}
	}
}
