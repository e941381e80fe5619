package report

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"distproof/capture"
	"distproof/decode"
	"distproof/decode/fact"
	"distproof/decode/tls"
	"distproof/verify"
)

// New makes the document of a run. undecoded has the packets of each input in
// which no TCP segment was found, by reason.
func New(tool Tool, inputs []capture.Input, undecoded []map[string]uint64, c *decode.Capture, j *verify.Judgement) *Document {
	return newDocument(tool, inputs, undecoded, c, j, (*builder).connection)
}

// newDocument is New, with what makes the connection with a given index.
func newDocument(tool Tool, inputs []capture.Input, undecoded []map[string]uint64, c *decode.Capture, j *verify.Judgement, connection func(*builder, int) Connection) *Document {
	b := newBuilder(c, j)
	doc := b.head(tool, inputs, undecoded)
	doc.Connections = make([]Connection, len(c.Connections))
	inParallel(len(doc.Connections), func(i int) { doc.Connections[i] = connection(b, i) })
	likely, edges := newLikely(doc.Nodes), edges{}
	for i := range doc.Connections {
		c := &doc.Connections[i]
		likely.name(c)
		doc.Summary.add(c)
		edges.add(c)
	}
	doc.Edges = edges.all()
	places := c.Places()
	for _, f := range j.Findings {
		doc.Findings = append(doc.Findings, b.finding(f, func(x *decode.Connection) string { return doc.Connections[places.Of(x)].ID }))
	}
	doc.Mesh = newMesh(doc)
	return doc
}

// head is the document without the connections, what is made of them, and the
// findings.
func (b *builder) head(tool Tool, inputs []capture.Input, undecoded []map[string]uint64) *Document {
	c, j := b.capture, b.judgement
	doc := &Document{
		Schema: Schema, Tool: tool, Inputs: []Input{}, Nodes: []Node{}, Connections: []Connection{}, Findings: []Finding{},
		Conclusion: string(j.Outcome), Reason: j.Reason, Policy: j.Policy, EPMD: newEPMD(c.Registry),
	}
	for i, in := range inputs {
		doc.Inputs = append(doc.Inputs, newInput(in, undecoded[i]))
	}
	for _, n := range c.Nodes {
		doc.Nodes = append(doc.Nodes, newNode(n))
	}
	return doc
}

type builder struct {
	capture   *decode.Capture
	judgement *verify.Judgement
	found     found
	shared    sharing
}

func newBuilder(c *decode.Capture, j *verify.Judgement) *builder {
	return &builder{capture: c, judgement: j, found: newFound(c, j.Findings)}
}

// id returns the id of a connection; "" for nil.
func (b *builder) id(c *decode.Connection) string {
	if c == nil {
		return ""
	}
	number := c.Number
	if number == 0 {
		number = uint64(slices.Index(b.capture.Connections, c) + 1) // no decoder made it
	}
	return "c" + strconv.FormatUint(number, 10)
}

func newInput(in capture.Input, undecoded map[string]uint64) Input {
	out := Input{
		Path: in.Path, Format: in.Format, Packets: in.Packets, Bytes: in.Bytes,
		Dropped: in.Dropped, Snapped: in.Snapped, Undecoded: undecoded, Secrets: len(in.Secrets),
	}
	if out.Undecoded == nil {
		out.Undecoded = map[string]uint64{}
	}
	if in.Timed {
		out.First, out.Last = FormatTime(capture.Time(in.First)), FormatTime(capture.Time(in.Last))
	}
	if in.Damage != nil {
		out.Truncated, out.Damage = !in.Damage.Continued, in.Damage.String()
	}
	return out
}

func newEPMD(r decode.Registry) EPMD {
	out := EPMD{Names: []EPMDName{}, Requests: map[string]uint64{}, Clients: []string{}, Exchanges: []EPMDExchange{}}
	for _, n := range r.Names {
		out.Names = append(out.Names, EPMDName{Node: n.Node, Host: n.Host.String(), Port: n.Port})
	}
	for op, n := range r.Requests {
		out.Requests[op] = n
	}
	for _, a := range r.Clients {
		out.Clients = append(out.Clients, a.String())
	}
	for _, e := range r.Exchanges {
		out.Exchanges = append(out.Exchanges, EPMDExchange{
			Client: e.Client.String(), Server: e.Server.Addr().String(), Port: e.Server.Port(),
			Request: e.Request, Node: e.Node, Outcome: e.Outcome.String(), Count: e.Count,
			FirstFrame: e.First.Number, Input: int(e.First.Input),
		})
	}
	return out
}

func (s *Summary) add(c *Connection) {
	if c.Verdict != nil {
		switch verify.Verdict(*c.Verdict) {
		case verify.Mutual:
			s.Distribution.Mutual++
		case verify.OneWay:
			s.Distribution.OneWay++
		case verify.Cleartext:
			s.Distribution.Cleartext++
		case verify.Refused:
			s.Distribution.Refused++
		case verify.Inconclusive:
			s.Distribution.Inconclusive++
		}
		return
	}
	switch decode.Protocol(c.Protocol) {
	case decode.EPMD:
		s.EPMD++
	case decode.TLS:
		s.TLS++
	case decode.None:
		s.None++
	default:
		s.Other++
	}
}

func (b *builder) connection(i int) Connection {
	c, k := b.capture.Connections[i], b.judgement.Conclusions[i]
	out := Connection{
		ID: b.id(c), Protocol: string(c.Protocol), ProtocolBasis: notNil(c.ProtocolBasis),
		State: string(k.State), Reason: k.Reason,
		Client: b.shared.endpoint(c.Ends[decode.Client]), Server: b.shared.endpoint(c.Ends[decode.Server]), RolesBasis: c.RolesBasis,
		FirstSeen: FormatTime(capture.Time(c.First)), LastSeen: FormatTime(capture.Time(c.Last)),
		FirstFrame: c.FirstFrame.Number, Input: int(c.FirstFrame.Input),
		Packets:       Counts{c.TCP[0].Packets, c.TCP[1].Packets},
		Bytes:         Counts{c.TCP[0].Bytes, c.TCP[1].Bytes},
		Encapsulation: notNil(c.Encapsulation),
		Gaps:          Gaps{Client: c.TCP[0].Gap, Server: c.TCP[1].Gap, Conflicts: c.TCP[0].Odd().Conflicts + c.TCP[1].Odd().Conflicts},
		Findings:      notNil(b.found.of(i)),
	}
	if k.Verdict != verify.NoVerdict {
		out.Verdict = b.shared.word(string(k.Verdict))
	}
	if c.TLS != nil {
		out.TLS = b.shared.tls(c.TLS, b.id(c.ResumedFrom))
	}
	if c.Protocol == decode.TLS || c.Protocol == decode.DistTLS {
		out.ClientCertificate = b.shared.clientCertificate(c, b.judgement.Certificates[i])
		out.ServerCertificate = b.shared.serverCertificate(c, b.judgement.Certificates[i])
	}
	if c.InClear {
		out.Cleartext = newCleartext(c)
	}
	if c.TLS != nil && c.TLS.Opened[0].Bytes+c.TLS.Opened[1].Bytes > 0 {
		out.Decrypted = newDecrypted(c)
	}
	return out
}

func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func newEndpoint(e decode.End, address string) Endpoint {
	return Endpoint{
		Address: address, Port: e.Address.Port(),
		Node: e.Node, NodeBasis: e.NodeBasis, Host: e.Host, HostBasis: e.HostBasis, NodeLength: e.NodeLength,
	}
}

func (s *sharing) endpoint(e decode.End) Endpoint {
	return newEndpoint(e, s.address(e.Address.Addr()))
}

func newTLS(f *tls.Facts, of *sessions, from string) *TLS {
	out := &TLS{
		CipherSuite: f.Suite.String(), Group: tls.GroupName(f.Group), Resumed: f.Resumed.Is(), ResumedFrom: from, KeyLog: f.KeyLog, Alerts: []Alert{},
		Records: Records{Client: recordLengths(f.Records[decode.Client]), Server: recordLengths(f.Records[decode.Server])},
	}
	if v := f.Version.String(); v != "" {
		out.Version = &v
	}
	if f.Client != nil {
		out.SNI, out.JA3, out.JA4 = f.Client.ServerName, of.ja3, of.ja4
	}
	for _, a := range f.Alerts {
		alert := Alert{From: a.From.String(), Description: a.Name, Basis: a.Basis.String(), Frame: a.Frame.Number}
		switch {
		case a.Name == "":
		case a.Fatal:
			alert.Level = "fatal"
		default:
			alert.Level = "warning"
		}
		out.Alerts = append(out.Alerts, alert)
	}
	return out
}

func recordLengths(records tls.Records) []int {
	out := make([]int, 0, records.Len())
	for r := range records.All() {
		out = append(out, r.Length)
	}
	return out
}

func newClientCertificate(c *decode.Connection, v *verify.Certificates, s *sharing) *ClientCertificate {
	f := c.TLS.ClientCertificate
	return &ClientCertificate{
		Status: f.Status.String(), Requested: known(f.Requested), Basis: f.Basis.String(), Reason: f.Reason, Possession: possession(f.Possession),
		PossessionReason: verify.PossessionReason(c, decode.Client), Accepted: accepted(c), Chain: s.chain(v.ClientChain), Verification: newVerification(v.Client),
	}
}

func newServerCertificate(c *decode.Connection, v *verify.Certificates, s *sharing) *ServerCertificate {
	f := c.TLS.ServerCertificate
	return &ServerCertificate{
		Basis: f.Basis.String(), Possession: possession(f.Possession), PossessionReason: verify.PossessionReason(c, decode.Server),
		Accepted: acceptedByClient(c), Chain: s.chain(v.ServerChain), Verification: newVerification(v.Server),
	}
}

func newVerification(v verify.Verification) Verification {
	out := Verification{Status: string(v.Status), Reason: v.Reason, Problems: []string{}}
	for _, p := range v.Problems {
		out.Problems = append(out.Problems, p.Text)
	}
	return out
}

func known(f fact.Fact) *bool {
	if f.Value == fact.Unknown {
		return nil
	}
	yes := f.Is()
	return &yes
}

func possession(b fact.Basis) string {
	if b == fact.None {
		return "unknown"
	}
	return b.String()
}

// accepted tells whether the server went on with the client: null if that is
// not known.
func accepted(c *decode.Connection) *bool {
	f := c.TLS
	if f.Failure != nil && f.Failure.By == tls.RoleServer {
		no := false
		return &no
	}
	return known(f.Established)
}

// acceptedByClient tells whether the client went on with the server.
func acceptedByClient(c *decode.Connection) *bool {
	f := c.TLS
	if f.Failure != nil && f.Failure.By == tls.RoleClient {
		no := false
		return &no
	}
	// The client answers the server's flight only if it is content with it.
	if f.Established.Is() || f.ClientCertificate.Status != tls.StatusUnknown && f.Flight != (capture.Frame{}) {
		yes := true
		return &yes
	}
	return nil
}

func newChain(chain []*verify.Certificate) []Certificate {
	out := []Certificate{}
	for _, cert := range chain {
		out = append(out, newCertificate(cert))
	}
	return out
}

func newCertificate(c *verify.Certificate) Certificate {
	out := Certificate{
		SHA256: hex.EncodeToString(c.SHA256[:]), Key: c.Key.String(), SignatureAlgorithm: c.Signature, SelfSigned: c.SelfSigned,
		KeyUsage: notNil(c.KeyUsage()), ExtendedKeyUsage: notNil(c.ExtendedKeyUsage()),
		DNSNames: []string{}, IPAddresses: []string{}, URIs: []string{}, EmailAddresses: []string{},
	}
	if c.KeyID != ([32]byte{}) {
		out.SPKISHA256 = hex.EncodeToString(c.KeyID[:])
	}
	cert := c.X509
	if cert == nil {
		out.Problem, out.Raw = c.Problem, base64.StdEncoding.EncodeToString(c.DER)
		return out
	}
	out.Subject, out.Issuer, out.IsCA = cert.Subject.String(), cert.Issuer.String(), cert.IsCA
	out.Serial = fmt.Sprintf("%x", cert.SerialNumber)
	out.NotBefore, out.NotAfter = FormatTime(cert.NotBefore), FormatTime(cert.NotAfter)
	out.DNSNames, out.EmailAddresses = notNil(cert.DNSNames), notNil(cert.EmailAddresses)
	for _, ip := range cert.IPAddresses {
		out.IPAddresses = append(out.IPAddresses, ip.String())
	}
	for _, u := range cert.URIs {
		out.URIs = append(out.URIs, u.String())
	}
	return out
}

// finding makes a finding, with what names connections.
func (b *builder) finding(f verify.Finding, id func(*decode.Connection) string) Finding {
	out := Finding{
		Rule: string(f.Rule), Severity: string(f.Severity), Title: f.Rule.Title(), Message: f.Message, Fix: cmp.Or(f.Fix, f.Rule.Fix()),
		Status: statusOpen, Connections: make([]string, 0, len(f.Connections)), Evidence: make([]Evidence, 0, len(f.Evidence)),
	}
	for _, c := range f.Connections {
		out.Connections = append(out.Connections, id(c))
	}
	for _, e := range f.Evidence {
		out.Evidence = append(out.Evidence, Evidence{Frame: e.Frame.Number, Input: int(e.Frame.Input), Text: e.Text})
	}
	b.byPolicy(&out, f)
	return out
}

// Label names the endpoint as well as is known: the node, its host, or its address.
func (e Endpoint) Label() string {
	switch {
	case e.Node != "":
		return e.Node
	case e.Host != "":
		return "?@" + e.Host
	}
	return e.Address
}

// An EndName is what an endpoint's labels are made of: ends with the same one have the
// same labels. The labels are put together when they are needed.
type EndName struct{ node, likely, host, address string }

// NameOf returns what e's labels are made of.
func NameOf(e *Endpoint) EndName {
	switch {
	case e.Node != "":
		return EndName{node: e.Node}
	case e.Host != "":
		return EndName{likely: e.LikelyNode, host: e.Host}
	}
	return EndName{likely: e.LikelyNode, address: e.Address}
}

// String is [Endpoint.Label], and what the end is only likely to be.
func (n EndName) String() string {
	e := Endpoint{Node: n.node, Host: n.host, Address: n.address}
	if n.likely != "" {
		return e.Label() + " (likely " + n.likely + ")"
	}
	return e.Label()
}

// lastingLabel is Label, and the same for a command-line tool each time it runs.
func (e Endpoint) lastingLabel() string {
	if t, tool := decode.ToolOf(e.Node); tool {
		return t.Before + "*" + t.After
	}
	return e.Label()
}
