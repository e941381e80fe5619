package report

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"distproof/decode"
	"distproof/decode/fact"
	"distproof/decode/secrets"
	"distproof/decode/tls"
	"distproof/internal/once"
	"distproof/verify"
)

// sharing has the parts of a document that many connections have in common. What it
// returns is in several places and must not be changed.
type sharing struct {
	addresses once.Table[netip.Addr, string]
	hellos    once.Table[*tls.ClientHello, *sessions]
	clients   once.Table[certificateKey, *ClientCertificate]
	servers   once.Table[certificateKey, *ServerCertificate]
	chains    once.Table[**verify.Certificate, []Certificate]
	words     once.Table[string, *string]
}

func (s *sharing) address(a netip.Addr) string { return s.addresses.Get(a, a.String) }

func (s *sharing) word(w string) *string {
	return s.words.Get(w, func() *string { return &w })
}

// sessions are what there is of TLS behind one ClientHello, by the rest of it.
type sessions struct {
	sync.RWMutex
	ja3, ja4 string
	known    map[string]*TLS
}

func (s *sharing) tls(f *tls.Facts, from string) *TLS {
	common := s.hellos.Get(f.Client, func() *sessions {
		out := &sessions{known: make(map[string]*TLS)}
		if f.Client != nil {
			out.ja3, out.ja4 = f.Client.JA3(), f.Client.JA4()
		}
		return out
	})
	if from != "" || len(f.Alerts) > 0 || f.KeyLog != "" {
		return newTLS(f, common, from)
	}
	var room [256]byte
	key := sessionKey(room[:0], f)
	common.RLock()
	known := common.known[string(key)]
	common.RUnlock()
	if known != nil {
		return known
	}
	out := newTLS(f, common, from)
	common.Lock()
	defer common.Unlock()
	if len(common.known) < once.Most {
		common.known[string(key)] = out
	}
	return out
}

// sessionKey has all that goes into a TLS, but the ClientHello.
func sessionKey(b []byte, f *tls.Facts) []byte {
	resumed := uint64(0)
	if f.Resumed.Is() {
		resumed = 1
	}
	for _, n := range [...]uint64{uint64(f.Version), uint64(f.Suite), uint64(f.Group), resumed} {
		b = binary.AppendUvarint(b, n)
	}
	for _, records := range f.Records {
		b = binary.AppendUvarint(b, uint64(records.Len()))
		for r := range records.All() {
			b = binary.AppendUvarint(b, uint64(r.Length))
		}
	}
	return b
}

// certificateKey has all that goes into what is said of a side's certificate.
type certificateKey struct {
	status           tls.CertificateStatus
	requested        fact.Value
	basis            fact.Basis
	reason           string
	possession       fact.Basis
	possessionReason possessionFacts
	accepted         fact.Value
	chain            **verify.Certificate
	verified         verify.VerifyStatus
	verifiedReason   string
}

// possessionFacts has what [verify.PossessionReason] looks at.
type possessionFacts struct {
	signature fact.Fact
	scheme    secrets.Scheme
	version   tls.Version
	suite     tls.Suite
}

func firstOf(chain []*verify.Certificate) **verify.Certificate {
	if len(chain) == 0 {
		return nil
	}
	return &chain[0]
}

func valueOf(b *bool) fact.Value {
	switch {
	case b == nil:
		return fact.Unknown
	case *b:
		return fact.Yes
	}
	return fact.No
}

func (s *sharing) clientCertificate(c *decode.Connection, v *verify.Certificates) *ClientCertificate {
	f := &c.TLS.ClientCertificate
	value := func() *ClientCertificate { return newClientCertificate(c, v, s) }
	if len(v.Client.Problems) > 0 {
		return value()
	}
	return s.clients.Get(certificateKey{
		f.Status, f.Requested.Value, f.Basis, f.Reason, f.Possession, possessionFacts{f.Signature, f.Scheme, c.TLS.Version, c.TLS.Suite},
		valueOf(accepted(c)), firstOf(v.ClientChain), v.Client.Status, v.Client.Reason,
	}, value)
}

func (s *sharing) serverCertificate(c *decode.Connection, v *verify.Certificates) *ServerCertificate {
	f := &c.TLS.ServerCertificate
	value := func() *ServerCertificate { return newServerCertificate(c, v, s) }
	if len(v.Server.Problems) > 0 {
		return value()
	}
	return s.servers.Get(certificateKey{
		basis: f.Basis, possession: f.Possession, possessionReason: possessionFacts{f.Signature, f.Scheme, c.TLS.Version, c.TLS.Suite},
		accepted: valueOf(acceptedByClient(c)), chain: firstOf(v.ServerChain), verified: v.Server.Status, verifiedReason: v.Server.Reason,
	}, value)
}

func (s *sharing) chain(chain []*verify.Certificate) []Certificate {
	if len(chain) == 0 {
		return []Certificate{}
	}
	return s.chains.Get(&chain[0], func() []Certificate { return newChain(chain) })
}
