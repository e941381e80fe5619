package evidence

import (
	"crypto/x509"
	"fmt"
	"slices"

	"distproof/capture"
	"distproof/decode"
	"distproof/decode/dist"
	"distproof/decode/epmd"
	"distproof/decode/fact"
	"distproof/decode/tcp"
	"distproof/decode/tls"
	"distproof/report"
)

// notes say what packets show, in words for an auditor. They follow from the
// facts: nothing is read anew.
type notes map[capture.Frame][]string

// add notes something about a packet. Texts off the wire are made safe here.
func (n notes) add(f capture.Frame, format string, args ...any) {
	text := report.Escape(fmt.Sprintf(format, args...))
	if f != (capture.Frame{}) && !slices.Contains(n[f], text) {
		n[f] = append(n[f], text)
	}
}

var sides = [2]string{"client", "server"}

// connection notes what the packets of c show; about is the connection that the
// bundle is for.
func (n notes) connection(c, about *decode.Connection) {
	n.opening(c)
	if c.Protocol == decode.EPMD {
		n.epmd(c, about)
	}
	if c.TLS != nil {
		n.tls(c)
	}
	if c.InClear {
		for side := range c.Dist {
			n.clear(side, &c.Dist[side])
		}
	}
	n.ending(c)
}

func (n notes) opening(c *decode.Connection) {
	for side, s := range c.TCP {
		if s.Start == tcp.StartSYN && side == decode.Client {
			n.add(s.SYNFrame, "the client opens the connection (SYN)")
		}
		if s.Odd().Conflicts > 0 {
			n.add(s.Odd().FirstConflict, "retransmission with other bytes than before (%s)", sides[side])
		}
	}
}

func (n notes) ending(c *decode.Connection) {
	for side, s := range c.TCP {
		if s.FIN {
			n.add(s.Odd().FINAt.Frame, "the %s closes the connection (FIN)", sides[side])
		}
		if s.RST {
			n.add(s.Odd().RSTAt.Frame, "the %s ends the connection (RST)", sides[side])
		}
	}
}

func (n notes) epmd(c, about *decode.Connection) {
	port := about.Ends[decode.Server].Address.Port()
	for _, r := range epmd.Combine(c.EPMD[decode.Client], c.EPMD[decode.Server]) {
		switch {
		case r.Node.Port == 0 || r.Outcome == epmd.Refused || r.Node.Port != port:
		case r.Op == epmd.Alive2Req:
			n.add(r.At.Frame, "EPMD %s: node %q registers port %d", r.Op, r.Node.Name, r.Node.Port)
		default:
			n.add(r.At.Frame, "EPMD %s announces the port: node %q listens on %d", r.Op, r.Node.Name, r.Node.Port)
		}
	}
}

func (n notes) clear(side int, d *dist.Facts) {
	h, who := &d.Handshake, sides[side]
	if h.Name != "" {
		n.add(h.NameAt.Frame, "cleartext distribution: the %s's name %q", who, h.Name)
	}
	if h.Status != "" {
		n.add(h.StatusAt.Frame, "cleartext distribution: status %q", h.Status)
	}
	if h.Proved {
		n.add(h.DigestAt.Frame, "cleartext distribution: the %s's digest of the cookie", who)
	}
	if h.Version == 0 && d.Recognition != dist.NotRecognised {
		n.add(d.RecognisedAt.Frame, "cleartext distribution from here on (%s, by %s)", who, d.Recognition)
	}
}

// tls notes what TLS shows. Messages are known where a record begins with them,
// which is how OTP writes them.
func (n notes) tls(c *decode.Connection) {
	f := c.TLS
	for side, records := range f.Records {
		i := 0
		for r := range records.All() {
			if r.Type == tls.TypeHandshake && !r.Sealed {
				n.message(f, side, r, i)
			}
			i++
		}
	}
	switch {
	case f.Client == nil && f.Server == nil:
		n.midstream(c)
	case f.Version.Is13():
		n.tls13(f)
	default:
		n.tls12(f)
	}
	for _, a := range f.Alerts {
		n.add(a.Frame, "alert of the %s: %s (%s)", a.From, alertName(a), a.Basis)
	}
	for side, foreign := range f.Foreign {
		if foreign != nil {
			n.add(foreign.Frame, "bytes that are not TLS from here on (%s)", sides[side])
		}
	}
}

// tickLengths are the lengths of records with a tick: four bytes under the
// ciphers of TLS 1.3, and of TLS 1.2 with AES-GCM and ChaCha20.
var tickLengths = []int{21, 28, 20}

// midstream notes what shows in a connection whose handshake is not there.
func (n notes) midstream(c *decode.Connection) {
	ticks := slices.Contains(c.ProtocolBasis, decode.ByTicks)
	for side, records := range c.TLS.Records {
		begun := false
		for r := range records.All() {
			switch {
			case !r.Sealed:
			case !begun:
				begun = true
				n.add(r.Frame, "encrypted TLS records from here on, no handshake before them (%s)", sides[side])
			case ticks && slices.Contains(tickLengths, r.Length):
				n.add(r.Frame, "a record of a tick's length (%s, %d bytes)", sides[side], r.Length)
			}
		}
	}
}

func alertName(a tls.SideAlert) string {
	if a.Name == "" {
		return "encrypted"
	}
	return a.Name
}

func (n notes) message(f *tls.Facts, side int, r tls.Record, i int) {
	switch r.Message {
	case tls.TypeClientHello:
		switch {
		case f.Client == nil:
			n.add(r.Frame, "ClientHello, not readable")
		case i > 0:
			n.add(r.Frame, "ClientHello again")
		case f.Client.ServerName == "":
			n.add(r.Frame, "ClientHello, no SNI")
		default:
			n.add(r.Frame, "ClientHello, SNI %s", f.Client.ServerName)
		}
	case tls.TypeServerHello:
		if f.Server == nil || f.Retried && i == 0 {
			n.add(r.Frame, "HelloRetryRequest")
			return
		}
		n.add(r.Frame, "ServerHello: TLS %s, %s", f.Version, f.Suite)
		if f.Resumed.Is() {
			n.add(r.Frame, "the session is resumed")
		}
	case tls.TypeCertificate:
		n.certificate(f, side, r.Frame)
	case tls.TypeServerKeyExchange:
		n.add(r.Frame, "ServerKeyExchange: %s", signature(f.ServerCertificate.Signature))
	case tls.TypeCertificateRequest:
		n.add(r.Frame, "CertificateRequest: the server asks for a client certificate")
	case tls.TypeServerHelloDone:
		if f.ClientCertificate.Requested.Isnt() {
			n.add(r.Frame, "ServerHelloDone, no CertificateRequest before it")
		}
	case tls.TypeCertificateVerify:
		n.add(r.Frame, "CertificateVerify (%s): %s", sides[side], signature(f.ClientCertificate.Signature))
	}
}

func (n notes) certificate(f *tls.Facts, side int, at capture.Frame) {
	chain := f.ServerCertificate.Chain
	if side == decode.Client {
		chain = f.ClientCertificate.Chain
	}
	n.add(at, "Certificate (%s): %s", sides[side], subject(chain))
}

func subject(chain [][]byte) string {
	if len(chain) == 0 {
		return "empty"
	}
	cert, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return "not readable"
	}
	return cert.Subject.String()
}

func signature(f fact.Fact) string {
	switch {
	case f.Is():
		return "signature verified"
	case f.Isnt():
		return "signature WRONG"
	case f.Reason != "":
		return "signature not checked (" + f.Reason + ")"
	}
	return "signature not checked"
}

// tls12 notes the encrypted end of the handshake.
func (n notes) tls12(f *tls.Facts) {
	for side, records := range f.Records {
		text := sides[side] + "'s Finished"
		if side == decode.Server && f.Established.Is() && !f.Resumed.Is() {
			text += ": accepted"
		}
		for r := range records.All() {
			if r.Type == tls.TypeHandshake && r.Sealed {
				n.add(r.Frame, "%s", text)
				break
			}
		}
	}
	n.distribution(f)
}

// tls13 notes what the encrypted part of the handshake shows: by sizes, or
// decrypted.
func (n notes) tls13(f *tls.Facts) {
	cert := &f.ClientCertificate
	server, client := sealed(f.Records[decode.Server]), sealed(f.Records[decode.Client])
	if len(server) > 0 {
		how := "the server's handshake, encrypted"
		if f.ServerCertificate.Basis == fact.Inferred {
			how += ", with a certificate by the sizes of its records (inferred)"
		}
		n.add(server[0].Frame, "%s", how)
		if cert.Requested.Is() {
			n.add(server[0].Frame, "CertificateRequest: the server asks for a client certificate (%s)", cert.Requested.Basis)
		}
		if chain := f.ServerCertificate.Chain; len(chain) > 0 {
			n.add(server[0].Frame, "Certificate (server): %s; CertificateVerify (server): %s", subject(chain), signature(f.ServerCertificate.Signature))
		}
	}
	if f.Flight != (capture.Frame{}) && cert.Status != tls.StatusUnknown {
		why := cert.Basis.String()
		if cert.Basis == fact.Inferred {
			why += ": " + cert.Reason
		}
		n.add(f.Flight, "the client's handshake, encrypted: certificate %s (%s)", cert.Status, why)
		if len(cert.Chain) > 0 {
			n.add(f.Flight, "Certificate (client): %s; CertificateVerify (client): %s", subject(cert.Chain), signature(cert.Signature))
		}
	}
	if r, ok := accepting(f, client, server); ok {
		n.add(r.Frame, "the server's first record after the client's Finished, %d bytes: accepted (%s)", r.Length, f.Established.Basis)
	}
	n.distribution(f)
}

func sealed(records tls.Records) []tls.Record {
	var out []tls.Record
	for r := range records.All() {
		if r.Type == tls.TypeApplicationData {
			out = append(out, r)
		}
	}
	return out
}

// accepting returns the server's first record after the client's Finished, which
// is at the latest the third of the client's encrypted records: Certificate,
// CertificateVerify, Finished.
func accepting(f *tls.Facts, client, server []tls.Record) (tls.Record, bool) {
	flight := map[tls.CertificateStatus]int{tls.Presented: 3, tls.Empty: 2, tls.NotRequested: 1, tls.Resumed: 1}[f.ClientCertificate.Status]
	if !f.Established.Is() || flight == 0 || len(client) == 0 {
		return tls.Record{}, false
	}
	finished := client[min(flight, len(client))-1]
	i := slices.IndexFunc(server, func(r tls.Record) bool { return r.Acked >= finished.End() })
	if i < 0 {
		return tls.Record{}, false
	}
	return server[i], true
}

// distribution notes where record sizes show distribution's handshake. Its first
// message is the client's name; behind its four bytes of length there are 15,
// and the name.
func (n notes) distribution(f *tls.Facts) {
	if !f.Distribution || !f.Shape.Exact {
		return
	}
	for _, r := range sealed(f.Records[decode.Client]) {
		if overhead := r.Length - (4 + 15) - f.Shape.ClientName; overhead >= 16 && overhead <= 24 {
			n.add(r.Frame, "distribution's handshake inside, by the sizes of records from here on: names of %d and %d bytes", f.Shape.ClientName, f.Shape.ServerName)
			return
		}
	}
}
