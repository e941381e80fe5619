package verify

import (
	"net/netip"
	"testing"

	"distproof/decode"
)

// crowds are captures of n connections that have in common what those of a cluster
// have: all but addresses and times.
func crowds(tb testing.TB, n int) map[string]*decode.Capture {
	ca := newAuthority(tb, "ca")
	leaf := ca.leaf(tb, template{client: true, server: true, names: []string{"n2.lab"}, from: 2020, to: 2100})
	chain := [][]byte{leaf, ca.cert.Raw}
	out := make(map[string]*decode.Capture)
	for name, one := range map[string]*decode.Connection{
		"mutual":       with(mutual(), sending(chain...), showing(chain...), framed),
		"another host": with(mutual(), sending(chain...), showing(chain...), framed, func(c *decode.Connection) { c.Ends[server].Host = "n3.lab" }),
		"SHA-1": with(mutual(), framed, func(c *decode.Connection) {
			c.TLS.ClientCertificate.Scheme, c.TLS.ServerCertificate.Scheme = 0x0203, 0x0203
		}),
		"RC4":       with(mutual(), framed, suite(rc4)),
		"one-way":   oneWay(),
		"cleartext": clear(),
		"other":     other(),
	} {
		c := &decode.Capture{Connections: make([]*decode.Connection, n)}
		for i := range c.Connections {
			x := *one
			x.Number = uint64(i + 1)
			x.Ends[client].Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(i % 100)}), uint16(10_000+i))
			c.Connections[i] = &x
		}
		out[name] = c
	}
	return out
}

// TestSharedIsJudgedOnce: what connections have in common costs nothing more with each
// of them.
func TestSharedIsJudgedOnce(t *testing.T) {
	const few, many = 100, 2100
	less, more := crowds(t, few), crowds(t, many)
	for name := range more {
		allocations := func(c *decode.Capture) float64 {
			return testing.AllocsPerRun(3, func() { Judge(c, Coverage{}, Options{}) })
		}
		if each := (allocations(more[name]) - allocations(less[name])) / (many - few); each > 0.1 {
			t.Errorf("%s: %.2f allocations for each further connection", name, each)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	const n = 10_000
	for name, c := range crowds(b, n) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Judge(c, Coverage{}, Options{})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/connection")
		})
	}
}
