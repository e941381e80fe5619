package tls

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"distproof/decode/fact"
)

// The suites of TLS 1.3, with the lengths that their Finished records have.
var suites13 = map[Suite]int{0x1301: 4 + 32 + 17, 0x1302: 4 + 48 + 17, 0x1303: 4 + 32 + 17, 0x1304: 4 + 32 + 17, 0x1305: 4 + 32 + 9}

// An outline is a TLS 1.3 connection of which only record lengths are known.
type outline struct {
	suite   Suite
	psk     bool
	records [2][]Record
	sent    [2]int64
	heard   [2]int64
}

// say sends records of the given lengths, having read all that the peer said.
func (w *outline) say(side int, lengths ...int) {
	w.heard[side] = w.sent[1-side]
	w.deaf(side, lengths...)
}

// deaf sends records without having read what the peer said since.
func (w *outline) deaf(side int, lengths ...int) {
	for _, n := range lengths {
		r := Record{Type: TypeApplicationData, Sealed: true, Length: n, Offset: w.sent[side], Acked: w.heard[side]}
		w.records[side] = append(w.records[side], r)
		w.sent[side] = r.End()
	}
}

// facts are those of the connection.
func (w *outline) facts(end Ending) *Facts {
	c, s := w.stream(client), w.stream(server)
	c.hello = &ClientHello{ServerName: "n2.lab"}
	s.server = &ServerHello{Version: TLS13, Suite: w.suite, PSK: w.psk}
	return Combine(c, s, end)
}

// stream is a direction as if it had been read.
func (w *outline) stream(side int) *Stream {
	s := NewStream(AtStart)
	s.confirm()
	all := w.records[side]
	s.log = NewRecords(all[:min(len(all), MaxRecords)]...)
	s.reliable = int32(s.log.n)
	s.sealed.Application = uint64(len(all))
	if len(all) > 0 {
		s.last = endOf(all[len(all)-1])
	}
	return s
}

// play lets the sides speak by a script: "s 23 470 96 69, c 69 47, s 24".
// Capitals are deaf.
func (w *outline) play(script string) {
	for line := range strings.SplitSeq(script, ",") {
		words := strings.Fields(line)
		var lengths []int
		for _, word := range words[1:] {
			n, err := strconv.Atoi(word)
			if err != nil {
				panic(err)
			}
			lengths = append(lengths, n)
		}
		side := client
		if strings.EqualFold(words[0], "s") {
			side = server
		}
		if words[0] == strings.ToLower(words[0]) {
			w.say(side, lengths...)
		} else {
			w.deaf(side, lengths...)
		}
	}
}

// up is the distribution handshake between demo@n1.lab and demo@n2.lab.
const up = ", c 47, s 24 51, c 42, s 38"

// unknown is what nothing can be said of.
const (
	unknown = fact.Unknown
	yes     = fact.Yes
	no      = fact.No
)

func TestClientCertificateBySizes(t *testing.T) {
	for name, r := range map[string]struct {
		suite       Suite // 0: AES-256-GCM
		psk         bool
		script      string
		closed      Role
		status      CertificateStatus
		requested   fact.Value
		established fact.Value
		reason      string // a part of the status's
	}{
		// Recorded nodes.
		"OTP 25, no client authentication": {0, false, "s 23 525 96 69, c 69" + up, 0, NotRequested, no, yes, "[23 525 96 69]"},
		"OTP 25, mutual":                   {0, false, "s 23 142 1027 97 69, c 1027 96 69" + up, 0, Presented, yes, yes, "[1027 96 69]"},
		"asked, empty, accepted":           {0, false, "s 23 142 1027 96 69, c 25 69" + up, 0, Empty, yes, yes, "[25 69]"},
		"asked, empty, rejected":           {0, false, "s 23 142 1027 95 69, c 25 69 47, s 19", RoleServer, Empty, yes, no, "[25 69]"},
		"certificate of another CA":        {0, false, "s 23 142 1027 97 69, c 493 96 69 47, s 19", RoleServer, Presented, yes, no, "[493 96 69]"},
		"mutual, RSA 2048":                 {0, false, "s 23 142 1230 281 69, c 1230 281 69" + up, 0, Presented, yes, yes, ""},
		"OTP 23, mutual":                   {0, false, "s 23 58 1027 97 69, c 1027 96 69" + up, 0, Presented, yes, yes, ""},
		"OTP 27, mutual":                   {0, false, "s 23 186 1027 96 69, c 1027 96 69" + up, 0, Presented, yes, yes, ""},
		"OTP 29, mutual":                   {0, false, "s 23 246 1027 95 69, c 1027 95 69" + up, 0, Presented, yes, yes, ""},
		"resumed with a pre-shared key":    {0, true, "s 23 69, c 69" + up, 0, Resumed, no, yes, "pre-shared key"},
		"OpenSSL, mutual, tickets":         {0, false, "s 23 142 1027 95 69, c 525 97 69, s 746 746", 0, Presented, yes, yes, ""},
		"OpenSSL, required, empty":         {0, false, "s 23 142 1027 95 69, c 25 69, s 19", RoleServer, Empty, yes, no, ""},
		"OpenSSL, client closes at once":   {0, false, "s 23 142 1027 95 69, c 525 97 69 23 19, s 746 746", RoleClient, Presented, yes, yes, ""},

		// Other suites.
		"AES-128-GCM, mutual":       {0x1301, false, "s 23 142 1027 97 53, c 1027 96 53" + up, 0, Presented, yes, yes, ""},
		"AES-128-GCM, none":         {0x1301, false, "s 23 1027 97 53, c 53" + up, 0, NotRequested, no, yes, ""},
		"ChaCha20, empty":           {0x1303, false, "s 23 142 1027 97 53, c 25 53" + up, 0, Empty, yes, yes, ""},
		"CCM, mutual":               {0x1304, false, "s 23 142 1027 97 53, c 1027 96 53" + up, 0, Presented, yes, yes, ""},
		"CCM_8, mutual":             {0x1305, false, "s 15 134 1019 89 45, c 1019 88 45, c 39, s 16 43, c 34, s 30", 0, Presented, yes, yes, ""},
		"CCM_8, empty":              {0x1305, false, "s 15 134 1019 89 45, c 17 45, c 39, s 16 43, c 34, s 30", 0, Empty, yes, yes, ""},
		"CCM_8, empty, rejected":    {0x1305, false, "s 15 134 1019 89 45, c 17 45 39, s 11", RoleServer, Empty, yes, no, ""},
		"Finished of another suite": {0x1301, false, "s 23 142 1027 97 69, c 1027 96 69" + up, 0, 0, unknown, unknown, "do not show single"},
		"suite before TLS 1.3":      {0xc02c, false, "s 23 142 1027 97 69, c 1027 96 69" + up, 0, 0, unknown, unknown, "record sizes are not known"},
		"unknown suite":             {0x1306, false, "s 23 142 1027 97 69, c 1027 96 69" + up, 0, 0, unknown, unknown, "record sizes are not known"},

		// Other keys: CertificateVerify is 25 and the signature.
		"RSA 1024":     {0, false, "s 23 142 1027 153 69, c 700 153 69" + up, 0, Presented, yes, yes, ""},
		"RSA 3072":     {0, false, "s 23 142 1027 409 69, c 1300 409 69" + up, 0, Presented, yes, yes, ""},
		"RSA 4096":     {0, false, "s 23 142 1027 537 69, c 1400 537 69" + up, 0, Presented, yes, yes, ""},
		"RSA 8192":     {0, false, "s 23 142 1027 1049 69, c 2400 1049 69" + up, 0, Presented, yes, yes, ""},
		"P-384":        {0, false, "s 23 142 1027 129 69, c 800 127 69" + up, 0, Presented, yes, yes, ""},
		"P-521":        {0, false, "s 23 142 1027 164 69, c 800 162 69" + up, 0, Presented, yes, yes, ""},
		"Ed25519":      {0, false, "s 23 142 1027 89 69, c 400 89 69" + up, 0, Presented, yes, yes, ""},
		"ML-DSA-44":    {0, false, "s 23 142 8000 2445 69, c 4200 2445 69" + up, 0, Presented, yes, yes, ""},
		"ML-DSA-87":    {0, false, "s 23 142 8000 4652 69, c 7800 4652 69" + up, 0, Presented, yes, yes, ""},
		"no signature": {0, false, "s 23 142 1027 96 69, c 1027 80 69" + up, 0, 0, unknown, unknown, "client's record sizes"},

		// Long messages.
		"server's chain of more than 16 KiB": {0, false, "s 23 142 16401 700 96 69, c 1027 96 69" + up, 0, Presented, yes, yes, ""},
		"client's chain of more than 16 KiB": {0, false, "s 23 142 1027 96 69, c 16401 16401 30 96 69" + up, 0, Presented, yes, yes, ""},
		"one-way, chain of more than 16 KiB": {0, false, "s 23 16401 700 96 69, c 69" + up, 0, NotRequested, no, yes, ""},
		"request of more than 16 KiB":        {0, false, "s 23 16401 700 1027 96 69, c 1027 96 69" + up, 0, 0, unknown, unknown, "server's record sizes"},
		"request of just 16 KiB":             {0, false, "s 23 16401 1027 96 69, c 1027 96 69" + up, 0, 0, unknown, unknown, "contradictory"},
		"client's chain of just 16 KiB":      {0, false, "s 23 142 1027 96 69, c 16401 96 69" + up, 0, 0, unknown, unknown, "client's record sizes"},

		// What does not fit.
		"nothing of the server":               {0, false, "c 69" + up, 0, 0, unknown, unknown, "server's record sizes"},
		"nothing of the client":               {0, false, "s 23 142 1027 96 69", 0, 0, unknown, unknown, "client's encrypted handshake is not"},
		"the server's flight in one record":   {0, false, "s 1217, c 1027 96 69" + up, 0, 0, unknown, unknown, "server's record sizes"},
		"the client's flight in one record":   {0, false, "s 23 142 1027 96 69, c 1158" + up, 0, 0, unknown, unknown, "client's record sizes"},
		"an empty certificate and Finished":   {0, false, "s 23 142 1027 96 69, c 77" + up, 0, 0, unknown, unknown, "client's record sizes"},
		"padded records":                      {0, false, "s 48 176 1072 112 80, c 1072 112 80" + up, 0, 0, unknown, unknown, "server's record sizes"},
		"records of 512 bytes":                {0, false, "s 23 142 529 515 96 69, c 529 515 96 69" + up, 0, 0, unknown, unknown, "server's record sizes"},
		"a split certificate like a request":  {0, false, "s 23 529 515 96 69, c 69" + up, 0, 0, unknown, unknown, "contradictory"},
		"not asked, empty":                    {0, false, "s 23 1027 96 69, c 25 69" + up, 0, 0, unknown, unknown, "contradictory"},
		"not asked, presented":                {0, false, "s 23 1027 96 69, c 1027 96 69" + up, 0, 0, unknown, unknown, "contradictory"},
		"asked, nothing":                      {0, false, "s 23 142 1027 96 69, c 69" + up, 0, 0, unknown, unknown, "contradictory"},
		"pre-shared key and a certificate":    {0, true, "s 23 1027 96 69, c 69" + up, 0, 0, unknown, unknown, "do not fit its hello"},
		"pre-shared key, client presented":    {0, true, "s 23 69, c 1027 96 69" + up, 0, 0, unknown, unknown, "contradictory"},
		"no certificate, nor pre-shared key":  {0, false, "s 23 69, c 69" + up, 0, 0, unknown, unknown, "do not fit its hello"},
		"too short an EncryptedExtensions":    {0, false, "s 22 1027 96 69, c 69" + up, 0, 0, unknown, unknown, "server's encrypted handshake"},
		"the shortest EncryptedExtensions":    {0, false, "s 23 1027 96 69, c 69" + up, 0, NotRequested, no, yes, ""},
		"too short a request":                 {0, false, "s 23 31 1027 96 69, c 25 69" + up, 0, 0, unknown, unknown, "server's record sizes"},
		"the shortest request":                {0, false, "s 23 32 1027 96 69, c 25 69" + up, 0, Empty, yes, yes, ""},
		"too short a certificate":             {0, false, "s 23 142 1027 96 69, c 179 96 69" + up, 0, 0, unknown, unknown, "client's record sizes"},
		"the shortest certificate":            {0, false, "s 23 142 1027 96 69, c 180 96 69" + up, 0, Presented, yes, yes, ""},
		"the client's Certificate is missing": {0, false, "s 23 142 1027 96 69, c 96 69" + up, 0, 0, unknown, unknown, "client's record sizes"},
		"the client's Finished is missing":    {0, false, "s 23 142 1027 96 69, c 1027 96 47, s 24", 0, 0, unknown, unknown, "client's record sizes"},
		"the server's Finished is missing":    {0, false, "s 23 142 1027 96, c 25 69" + up, 0, 0, unknown, unknown, "server's record sizes"},
		"a certificate like a signature":      {0, false, "s 23 142 281 96 69, c 281 281 69" + up, 0, Presented, yes, yes, ""},
		"the client's answer to an alert":     {0, false, "s 23 142 1027 96 69, c 19", RoleClient, 0, unknown, unknown, "client's record sizes"},
	} {
		t.Run(name, func(t *testing.T) {
			w := outline{suite: r.suite, psk: r.psk}
			if w.suite == 0 {
				w.suite = 0x1302
			}
			w.play(r.script)
			f := w.facts(Ending{Whole: true, ClosedBy: r.closed})
			c := f.ClientCertificate
			if c.Status != r.status || c.Requested.Value != r.requested || f.Established.Value != r.established || !strings.Contains(c.Reason, r.reason) {
				t.Errorf("%s, requested %d, established %d (%s)\n%s\nwant %s, requested %d, established %d: %s",
					c.Status, c.Requested.Value, f.Established.Value, f.Established.Reason, c.Reason, r.status, r.requested, r.established, r.reason)
			}
			if got, want := c.Possession != fact.None, r.status == Presented; got != want {
				t.Errorf("possession %s", c.Possession)
			}
			if (c.Basis == fact.None) != (c.Status == StatusUnknown) || (c.Requested.Basis == fact.None) != (c.Requested.Value == unknown) {
				t.Errorf("basis %s of %s, %s of requested %d", c.Basis, c.Status, c.Requested.Basis, c.Requested.Value)
			}
			if strings.HasSuffix(r.script, up) && r.established == yes && w.suite != 0x1305 && !f.Distribution {
				t.Errorf("not distribution: %+v", f.Shape)
			}
			if refused := r.established == no || strings.HasSuffix(r.script, "c 19"); refused != (f.Failure != nil) {
				t.Errorf("failure %+v", f.Failure)
			}
		})
	}
}

// TestOfferedEarlyData: what the client sent before its handshake went on
// cannot be told from it.
func TestOfferedEarlyData(t *testing.T) {
	w := outline{suite: 0x1302}
	w.play("s 23 142 1027 97 69, c 1027 96 69" + up)
	c, s := w.stream(client), w.stream(server)
	c.hello = &ClientHello{EarlyData: true}
	s.server = &ServerHello{Version: TLS13, Suite: w.suite}
	f := Combine(c, s, Ending{Whole: true})
	if f.ClientCertificate.Status != StatusUnknown || f.Established.Value != unknown || f.Distribution {
		t.Errorf("client certificate %+v, established %+v", f.ClientCertificate, f.Established)
	}
}

// TestOffersBesideCertificates: what a client offers may make sizes mean
// something else.
func TestOffersBesideCertificates(t *testing.T) {
	const (
		mutual = "s 23 142 1027 97 69, c 1027 96 69"
		oneWay = "s 23 1027 97 69, c 69"
		empty  = "s 23 142 1027 97 69, c 25 69"
		other  = ", c 100, s 200 300, c 100"
	)
	later := ClientHello{PostHandshakeAuth: true}
	clientKey, serverKey := ClientHello{Extensions: []uint16{extClientCertType}}, ClientHello{Extensions: []uint16{0, extServerCertType}}
	for name, r := range map[string]struct {
		hello       ClientHello
		script      string
		status      CertificateStatus
		mayAskLater bool
	}{
		"bare key of the client, presented":     {clientKey, mutual + up, StatusUnknown, false},
		"bare key of the server, presented":     {serverKey, mutual + up, StatusUnknown, false},
		"bare key, one-way":                     {clientKey, oneWay + up, NotRequested, false},
		"bare key, empty":                       {serverKey, empty + up, Empty, false},
		"asked later, other protocol":           {later, oneWay + other, NotRequested, true},
		"asked later, empty, other protocol":    {later, empty + other, Empty, true},
		"asked later, nothing seen":             {later, oneWay, NotRequested, true},
		"distribution came up without":          {later, oneWay + up, NotRequested, false},
		"asked later, before the confirmation":  {later, oneWay + ", c 47, s 24 51, c 42", NotRequested, true},
		"not offered, other protocol":           {ClientHello{}, oneWay + other, NotRequested, false},
		"asked later, presented before already": {later, mutual + other, Presented, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := outline{suite: 0x1302}
			w.play(r.script)
			c, s := w.stream(client), w.stream(server)
			c.hello, s.server = &r.hello, &ServerHello{Version: TLS13, Suite: w.suite}
			f := Combine(c, s, Ending{Whole: true})
			if f.ClientCertificate.Status != r.status || f.MayAskLater != r.mayAskLater || f.Failure != nil {
				t.Errorf("%+v, may ask later: %t, failure %+v", f.ClientCertificate, f.MayAskLater, f.Failure)
			}
			if known := r.status != StatusUnknown; known != (f.ClientCertificate.Basis != fact.None) || !known && f.Established.Value != unknown {
				t.Errorf("%+v, established %+v", f.ClientCertificate, f.Established)
			}
		})
	}
}

// A peer makes the record sizes of an honest implementation of TLS 1.3.
type peer struct {
	random *rand.Rand
	suite  Suite
	// pack turns the lengths of messages into those of records.
	pack func([]int) []int
}

func (p *peer) overhead() int     { return p.suite.recordOverhead13() }
func (p *peer) finished() int     { return suites13[p.suite] - p.overhead() }
func (p *peer) pick(n ...int) int { return n[p.random.IntN(len(n))] }

// between is a number between two, each of them included.
func (p *peer) between(a, b int) int { return a + p.random.IntN(b-a+1) }

// signature is the length of a CertificateVerify, mostly of a usual key.
func (p *peer) signature() int {
	switch p.random.IntN(5) {
	case 0:
		return 8 + p.pick(signatureLengths...)
	case 1: // an odd modulus
		return 8 + p.between(128, 1024)
	case 2: // ECDSA, of any curve and luck
		return 8 + p.pick(8, 56, 58, 62, 66, 70, 71, 72, 95, 100, 102, 104, 133, 136, 139)
	}
	return 8 + p.pick(70, 71, 72, 256)
}

// certificate is the length of a Certificate, of X.509 or a raw public key,
// compressed or not; often one that has the length of something else.
func (p *peer) certificate() int {
	switch p.random.IntN(8) {
	case 0:
		return p.between(57, 200) // raw public keys, RFC 7250
	case 1:
		return p.between(163, 400)
	case 2: // like a CertificateVerify
		return max(163, 8+p.pick(signatureLengths...))
	case 3: // about so many full records
		return p.pick(1, 2, 3)*maxPlaintext + p.between(-2, 2)
	case 4: // and a rest that looks like a message
		return p.pick(1, 2)*maxPlaintext + p.pick(8, p.finished(), p.signature(), p.certificateRequest())
	case 5:
		return p.between(163, 60000)
	}
	return p.between(300, 3000)
}

func (p *peer) certificateRequest() int {
	switch p.random.IntN(6) {
	case 0:
		return p.between(15, 60)
	case 1:
		return max(15, p.signature())
	case 2:
		return p.pick(1, 2)*maxPlaintext + p.between(-1, 1)
	case 3:
		return p.between(163, 40000)
	}
	return p.between(41, 300)
}

// anything is the length of application data; often one that looks like a message.
func (p *peer) anything() int {
	switch p.random.IntN(6) {
	case 0:
		return p.pick(2, 5, 8, p.finished(), maxPlaintext)
	case 1:
		return p.signature()
	case 2:
		return p.between(163, 2000)
	}
	return p.between(1, maxPlaintext)
}

func (p *peer) data(most int) (out []int) {
	for range p.random.IntN(most + 1) {
		out = append(out, p.anything())
	}
	return out
}

// single makes a record of every message, and more of one that is longer.
func single(messages []int) (out []int) {
	for _, n := range messages {
		for ; n > maxPlaintext; n -= maxPlaintext {
			out = append(out, maxPlaintext)
		}
		out = append(out, n)
	}
	return out
}

// coalesced puts some messages together.
func coalesced(random *rand.Rand) func([]int) []int {
	return func(messages []int) []int {
		out := []int{messages[0]}
		for _, n := range messages[1:] {
			if random.IntN(2) == 0 {
				out[len(out)-1] += n
			} else {
				out = append(out, n)
			}
		}
		return single(out)
	}
}

// fragmented makes no record longer than that.
func fragmented(most int) func([]int) []int {
	return func(messages []int) (out []int) {
		for _, n := range messages {
			for ; n > most; n -= most {
				out = append(out, most)
			}
			out = append(out, n)
		}
		return out
	}
}

// padded rounds every record up to a block, content type included.
func padded(block int) func([]int) []int {
	return func(messages []int) []int {
		out := single(messages)
		for i, n := range out {
			out[i] = min((n+1+block-1)/block*block-1, maxPlaintext)
		}
		return out
	}
}

// TestInferenceIsTruthOrUnknown plays honest TLS 1.3 handshakes of any sizes.
func TestInferenceIsTruthOrUnknown(t *testing.T) {
	const rounds = 60_000
	known := map[string]int{}
	random := rand.New(rand.NewPCG(3, 4))
	for round := range rounds {
		p := &peer{random: random, suite: Suite(0x1301 + random.IntN(5)), pack: single}
		kind := "single"
		switch random.IntN(8) {
		case 0:
			kind, p.pack = "coalesced", coalesced(random)
		case 1:
			kind, p.pack = "fragmented", fragmented(p.pick(64, 128, 256, 512, 1024, 2048, p.between(64, maxPlaintext)))
		case 2:
			kind, p.pack = "padded", padded(p.pick(16, 32, 64, 128, 256, 512, 4096))
		}
		psk, requested := random.IntN(8) == 0, random.IntN(2) == 0
		if psk {
			requested = false
		}
		accepted := random.IntN(4) > 0
		want := NotRequested
		w := &outline{suite: p.suite, psk: psk}
		send := func(say func(int, ...int), side int, lengths ...int) {
			sealed := slices.Clone(lengths)
			for i := range sealed {
				sealed[i] += p.overhead()
			}
			say(side, sealed...)
		}

		flight := []int{p.pick(6, 6, p.between(6, 300))}
		if requested {
			flight = append(flight, p.certificateRequest())
		}
		if !psk {
			flight = append(flight, p.certificate(), p.signature())
		}
		send(w.say, server, p.pack(append(flight, p.finished()))...)
		if !requested && random.IntN(4) == 0 { // before the client's Finished
			send(w.deaf, server, p.data(3)...)
		}

		switch {
		case psk:
			want, flight = Resumed, nil
		case !requested:
			flight = nil
		case random.IntN(3) == 0:
			want, flight = Empty, []int{lengthEmptyCertificate}
		default:
			want, flight = Presented, []int{p.certificate(), p.signature()}
		}
		send(w.say, client, p.pack(append(flight, p.finished()))...)
		send(w.deaf, client, p.data(4)...)

		end := Ending{Whole: true}
		switch {
		case !accepted:
			send(w.say, server, lengthAlert)
			end.ClosedBy = RoleServer
		case random.IntN(4) == 0: // closed by the client before an answer
			send(w.deaf, client, lengthAlert)
			send(w.say, server, lengthAlert)
			end.ClosedBy = []Role{RoleClient, RoleServer}[random.IntN(2)]
		default:
			send(w.say, server, append(p.data(3), p.anything(), p.anything())...)
			send(w.say, client, p.data(3)...)
			send(w.say, server, p.data(3)...)
			end.ClosedBy = Role(random.IntN(3))
		}

		f := w.facts(end)
		c := f.ClientCertificate
		text := fmt.Sprintf("round %d, %s: server %v, client %v: %s (%s)", round, kind, lengths(w.records[server], 12), lengths(w.records[client], 12), c.Status, c.Reason)
		if c.Status != StatusUnknown && c.Status != want {
			t.Errorf("%s, want %s", text, want)
		}
		if (c.Possession != fact.None) != (c.Status == Presented) {
			t.Errorf("%s, possession %s", text, c.Possession)
		}
		if v := c.Requested.Value; v != unknown && (v == yes) != requested {
			t.Errorf("%s, requested %d, want %t", text, v, requested)
		}
		if v := f.Established.Value; v != unknown && (v == yes) != accepted {
			t.Errorf("%s, established %d, want %t", text, v, accepted)
		}
		if f.Failure != nil && accepted {
			t.Errorf("%s, failure %+v", text, f.Failure)
		}
		if t.Failed() {
			return
		}
		if c.Status != StatusUnknown {
			known[kind]++
		}
	}
	t.Logf("known in %v of %d", known, rounds)
	// Else the property would hold of nothing.
	if known["single"] < rounds/4 {
		t.Errorf("known in %v of %d", known, rounds)
	}
	if known["padded"] > 0 {
		t.Errorf("%d known with padding", known["padded"])
	}
}

// TestEveryCertificateSize plays every size of one message, with the others
// those of a usual node.
func TestEveryCertificateSize(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 10
	}
	for suite, finished := range suites13 {
		seal := func(messages ...int) []int {
			out := single(messages)
			for i := range out {
				out[i] += suite.recordOverhead13()
			}
			return out
		}
		fin := finished - suite.recordOverhead13()
		for n := 1; n <= 3*maxPlaintext+3; n += step + n/2000 {
			for name, r := range map[string]struct {
				server, client []int
				want           CertificateStatus
			}{
				"server's certificate, not asked":   {seal(6, n, 79, fin), seal(fin), NotRequested},
				"server's certificate, asked":       {seal(6, 125, n, 79, fin), seal(8, fin), Empty},
				"request, empty":                    {seal(6, n, 1010, 79, fin), seal(8, fin), Empty},
				"request, presented":                {seal(6, n, 1010, 79, fin), seal(1010, 79, fin), Presented},
				"client's certificate":              {seal(6, 125, 1010, 79, fin), seal(n, 79, fin), Presented},
				"both certificates":                 {seal(6, 125, n, 79, fin), seal(n, 79, fin), Presented},
				"server's signature, not asked":     {seal(6, 1010, n, fin), seal(fin), NotRequested},
				"client's signature":                {seal(6, 125, 1010, 79, fin), seal(1010, n, fin), Presented},
				"extensions, not asked":             {seal(n, 1010, 79, fin), seal(fin), NotRequested},
				"data behind Finished, not asked":   {seal(6, 1010, 79, fin), seal(fin, n, 79, fin), NotRequested},
				"data behind Finished, empty":       {seal(6, 125, 1010, 79, fin), seal(8, fin, n, 79, fin), Empty},
				"data behind the server's Finished": {seal(6, 1010, 79, fin, n, 79, fin), seal(fin), NotRequested},
			} {
				w := outline{suite: suite}
				w.say(server, r.server...)
				w.say(client, r.client...)
				c := w.facts(Ending{}).ClientCertificate
				if c.Status == Resumed && n == fin { // its signature would be a Finished
					t.Errorf("%s of %d bytes: %s", name, n, c.Status)
				}
				if c.Status != StatusUnknown && c.Status != r.want {
					t.Errorf("%s of %d bytes: %s, want %s: %s", name, n, c.Status, r.want, c.Reason)
				}
				asked := r.want != NotRequested
				if v := c.Requested.Value; v != unknown && (v == yes) != asked {
					t.Errorf("%s of %d bytes: requested %d, want %t: %s", name, n, v, asked, c.Reason)
				}
			}
		}
	}
}

// TestPlausibleSignature: signatures of every kind of key, and the message
// that could be confused with them.
func TestPlausibleSignature(t *testing.T) {
	for n, want := range map[int]bool{
		70: true, 71: true, 72: true, 73: false, // P-256
		102: true, 104: true, 105: false, // P-384
		137: true, 139: true, 142: false, // P-521
		64: true, 114: true, // EdDSA
		128: true, 256: true, 257: false, 384: true, 512: true, 768: true, 1024: true, 2048: true, // RSA
		2420: true, 3309: true, 4627: true, // ML-DSA
		0: false, 1: false, 28: false, 44: false, 16: false,
	} {
		if plausibleSignature(n) != want {
			t.Errorf("%d bytes: %t", n, !want)
		}
	}
	for suite, finished := range suites13 {
		s := shaper{suite}
		if s.finished() != finished {
			t.Errorf("%s: Finished of %d, want %d", suite, s.finished(), finished)
		}
		if r := (Record{Length: finished}); s.isCertificateVerify(r) || s.certificate([]Record{r}) != 0 || s.isAlert(r) || s.isEmptyCert(r) {
			t.Errorf("%s: a Finished may be something else", suite)
		}
	}
}
