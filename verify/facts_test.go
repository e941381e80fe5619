package verify

import (
	"net/netip"

	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/epmd"
	"distproof/decode/fact"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

const (
	client, server = decode.Client, decode.Server

	good12      = tls.Suite(0xc02c) // ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
	good13      = tls.Suite(0x1302) // AES_256_GCM_SHA384
	null12      = tls.Suite(0xc006) // ECDHE_ECDSA_WITH_NULL_SHA
	integrity13 = tls.Suite(0xc0b4) // SHA256_SHA256 (RFC 9150)
	anonymous   = tls.Suite(0x006d) // DH_anon_WITH_AES_256_CBC_SHA256
	preShared   = tls.Suite(0x00ab) // DHE_PSK_WITH_AES_256_GCM_SHA384
	rc4         = tls.Suite(0xc011) // ECDHE_RSA_WITH_RC4_128_SHA
	unknown     = tls.Suite(0x5a5a)
)

func yes() fact.Fact { return fact.YesBy(fact.Observed, "seen") }
func no() fact.Fact  { return fact.NoBy(fact.Observed, "seen") }

// A change makes another connection of one.
type change func(*decode.Connection)

func with(c *decode.Connection, changes ...change) *decode.Connection {
	for _, f := range changes {
		f(c)
	}
	return c
}

// frame numbers evidence.
func frame(n uint32) decode.Frame { return decode.Frame{Number: n} }

// bare returns a connection of which both beginnings were captured, with bytes
// in both directions, still open.
func bare(p decode.Protocol) *decode.Connection {
	sent := tcp.Stats{Packets: 10, Bytes: 4000, End: 4000, Start: tcp.StartSYN}
	return &decode.Connection{
		Protocol: p, Dist: room[dist.Facts](p == decode.Dist), EPMD: room[epmd.Facts](p == decode.EPMD),
		Ends: [2]decode.End{
			{Address: netip.MustParseAddrPort("10.1.0.1:40001")},
			{Address: netip.MustParseAddrPort("10.1.0.2:9100")},
		},
		RolesBasis: "syn",
		FirstFrame: frame(1), First: 1_790_000_000_000_000_000,
		TCP:    [2]tcp.Stats{sent, sent},
		Ending: tls.Ending{Whole: true},
	}
}

// room returns that for both sides' facts of a protocol, if it is the one.
func room[T any](it bool) *[2]T {
	if !it {
		return nil
	}
	return new([2]T)
}

// mutual returns a connection that is mutual TLS 1.2 beyond doubt.
func mutual() *decode.Connection {
	c := bare(decode.DistTLS)
	c.ProtocolBasis = []string{decode.ByEPMD, decode.ByRecordSizes}
	c.TLS = &tls.Facts{
		Session: &tls.Session{
			Version: tls.TLS12, Suite: good12, Resumed: no(), Established: yes(), Finished: true,
			ClientCertificate: tls.ClientCertificate{
				Status: tls.Presented, Basis: fact.Observed, Requested: yes(), Possession: fact.Observed,
				Chain: [][]byte{{1}}, Reason: "the client sent a Certificate",
			},
			ServerCertificate: tls.ServerCertificate{Basis: fact.Observed, Possession: fact.Observed, Chain: [][]byte{{2}}},
			Shape:             tls.Shape{Stage: tls.StageAck, Exact: true},
		},
		Client: &tls.ClientHello{ServerName: "n2.lab"}, Server: &tls.ServerHello{}, Flight: frame(5),
		Records: [2]tls.Records{tls.NewRecords(tls.Record{Length: 195}, tls.Record{Offset: 200, Length: 795}), tls.NewRecords(tls.Record{Length: 995})},
		Sealed:  [2]tls.Sealed{{Application: 20}, {Application: 20}},
	}
	return c
}

// as13 makes a connection one of TLS 1.3, where certificates are inferred.
func as13(c *decode.Connection) {
	f := c.TLS
	f.Version, f.Suite = tls.TLS13, good13
	f.ClientCertificate.Basis, f.ClientCertificate.Possession, f.ClientCertificate.Chain = fact.Inferred, fact.Inferred, nil
	f.ServerCertificate = tls.ServerCertificate{Basis: fact.Inferred, Possession: fact.Inferred}
}

func suite(s tls.Suite) change { return func(c *decode.Connection) { c.TLS.Suite = s } }

// certificate sets what the client did about its own.
func certificate(s tls.CertificateStatus) change {
	return func(c *decode.Connection) {
		f := &c.TLS.ClientCertificate
		f.Status, f.Possession, f.Chain = s, fact.None, nil
		if s == tls.NotRequested {
			f.Requested = no()
		}
		f.Reason = s.String() + " for the test"
	}
}

func oneWay() *decode.Connection { return with(mutual(), certificate(tls.NotRequested)) }

// notAccepted takes away what shows that the server accepted.
func notAccepted(c *decode.Connection) {
	c.TLS.Established, c.TLS.Finished = fact.UnknownBecause("the handshake's end is not in the capture"), false
	c.TLS.Shape, c.TLS.Sealed = tls.Shape{}, [2]tls.Sealed{}
}

// refusedBy ends the handshake with an alert, or without one if it is "".
func refusedBy(r tls.Role, alert string) change {
	return func(c *decode.Connection) {
		notAccepted(c)
		c.TLS.Failure = &tls.Failure{By: r, Basis: fact.Observed}
		if alert != "" {
			c.TLS.Alerts = []tls.SideAlert{{From: r, Fatal: true, Name: alert, Basis: fact.Observed, Frame: frame(9)}}
			c.TLS.Failure.Alert = &c.TLS.Alerts[0]
		}
		c.Ending.ClosedBy = r
	}
}

func refused() *decode.Connection { return with(mutual(), refusedBy(tls.RoleServer, "unknown_ca")) }

// resumes makes c continue the session of origin, which may be nil.
func resumes(origin *decode.Connection) change {
	return func(c *decode.Connection) {
		certificate(tls.Resumed)(c)
		c.TLS.Resumed, c.ResumedFrom = yes(), origin
		c.TLS.ClientCertificate.Requested = no()
		c.TLS.ServerCertificate = tls.ServerCertificate{}
	}
}

// hidden takes the handshake away: the capture began later.
func hidden(c *decode.Connection) {
	c.TCP[client].Start, c.TCP[server].Start = tcp.StartUnknown, tcp.StartUnknown
	c.Ending.Whole = false
	c.TLS = &tls.Facts{Session: &tls.Session{Ticking: true, Ticks: true}, Sealed: [2]tls.Sealed{{Application: 4}, {Application: 4}}}
}

// clear returns distribution in the clear whose session came up.
func clear() *decode.Connection {
	c := bare(decode.Dist)
	c.ProtocolBasis, c.InClear = []string{decode.ByHandshake}, true
	c.Dist[client] = dist.Facts{
		Recognition: dist.ByHandshake, RecognisedAt: tcp.Position{Frame: frame(4)}, Bytes: 400, Connected: true,
		Handshake: dist.Handshake{Version: 6, Name: "a@n1.lab", NameAt: tcp.Position{Frame: frame(4)}, Reply: true, Proved: true, DigestAt: tcp.Position{Frame: frame(8)}},
	}
	c.Dist[server] = dist.Facts{
		Recognition: dist.ByHandshake, RecognisedAt: tcp.Position{Frame: frame(6)}, Bytes: 300, Connected: true,
		Handshake: dist.Handshake{Version: 6, Name: "b@n2.lab", NameAt: tcp.Position{Frame: frame(7)}, Status: "ok", Ack: true},
	}
	return c
}

// other returns a connection that is no distribution.
func other() *decode.Connection { return bare(decode.Other) }

// at sets the server's endpoint.
func at(address string) change {
	return func(c *decode.Connection) { c.Ends[server].Address = netip.MustParseAddrPort(address) }
}

// decrypted has distribution's handshake inside TLS opened: all of the client's,
// up to its proof, and of the server's what is given.
func decrypted(stopped string, serverSaid dist.Facts) func(*decode.Connection) {
	return func(c *decode.Connection) {
		c.IsDecrypted = true
		c.Decrypted = &[2]dist.Facts{{Handshake: dist.Handshake{Reply: true}}, serverSaid}
		c.TLS.Opened[server].Stopped = stopped
	}
}
