package view

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"distproof/capture/live"
	"distproof/report"
	"distproof/watch"
)

// screenVariable makes the test binary show that many generated connections, to
// be looked at: DISTPROOF_TEST_SCREEN=3000 go test ./watch/view
const screenVariable = "DISTPROOF_TEST_SCREEN"

func TestMain(m *testing.M) {
	n, err := strconv.Atoi(os.Getenv(screenVariable))
	if err != nil {
		os.Exit(m.Run())
	}
	if err := show(n); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// show shows n connections, of which some change four times a second.
func show(n int) error {
	src := newFakeSource(stateOfMany(n))
	notes := make(chan Note, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for i := 1; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			s := stateOfMany(n)
			s.Number, s.At = uint64(i+1), time.Now()
			changeSome(s, i)
			src.publish(s)
			if i%20 == 0 {
				notes <- Note{Time: time.Now(), Severity: "info", Text: fmt.Sprintf("connection c%d closed", i)}
			}
		}
	}()
	keys, err := Terminal()
	if err != nil {
		return err
	}
	return Run(ctx, src, Options{In: keys, Out: os.Stdout, Color: os.Getenv("NO_COLOR") == "", Notes: notes})
}

func changeSome(s *watch.State, i int) {
	n := len(s.Document.Connections)
	if n == 0 {
		return
	}
	at := i / 8 % n
	s.Activity[at].Open = !s.Activity[at].Open
	s.Activity[(at+1)%n].Rate = float64(i*137%5000) * 10
	s.Packets += uint64(i * 100)
}

// A fakeSource publishes what it is given.
type fakeSource struct {
	mu      sync.Mutex
	state   *watch.State
	changed chan struct{}
}

func newFakeSource(s *watch.State) *fakeSource {
	return &fakeSource{state: s, changed: make(chan struct{})}
}

func (f *fakeSource) State() *watch.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

func (f *fakeSource) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *fakeSource) publish(s *watch.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = s
	close(f.changed)
	f.changed = make(chan struct{})
}

// began is when the generated watch began.
var began = time.Date(2026, 11, 22, 8, 4, 51, 0, time.UTC)

// A kind of connection.
type kind struct {
	verdict, state, tls, certificate, basis, reason string
	open, ticks, stalled                            bool
	rate                                            float64
	lost                                            uint64
	rules                                           []string
}

func kinds() []kind {
	return []kind{
		{verdict: "mutual", state: "up", tls: "1.3", certificate: "presented", basis: "inferred", open: true, ticks: true, rate: 1234,
			reason: "both sides proved a certificate (inferred from record sizes)"},
		{verdict: "mutual", state: "up", tls: "1.2", certificate: "presented", basis: "observed", open: true, ticks: true, stalled: true,
			reason: "both sides proved a certificate"},
		{verdict: "one-way", state: "up", tls: "1.2", certificate: "not-requested", basis: "observed", open: true, ticks: true, rate: 87,
			reason: "the server does not ask for a client certificate", rules: []string{"DP103"}},
		{verdict: "cleartext", state: "up", open: true, rate: 91234567, reason: "distribution in the clear", rules: []string{"DP101", "DP205", "DP207"}},
		{verdict: "refused", state: "tls-failed", tls: "1.3", certificate: "empty", basis: "inferred",
			reason: "the server refused with an encrypted alert (inferred): the client has no certificate, and the server insists on one", rules: []string{"DP112"}},
		{verdict: "inconclusive", state: "midstream", open: true, ticks: true, rate: 12, lost: 2896,
			reason: "encrypted, client authentication not seen: the handshake was not captured, as the connection was already up when the capture began", rules: []string{"DP109"}},
		{verdict: "mutual", state: "up", tls: "1.3", certificate: "presented", basis: "inferred", reason: "both sides proved a certificate (inferred from record sizes)"},
	}
}

// stateOfMany has n connections of all kinds, most of them good.
func stateOfMany(n int) *watch.State {
	doc := &report.Document{
		Schema: report.Schema, Tool: report.Tool{Name: "distproof", Version: "test"}, Policy: "mutual",
		Inputs: []report.Input{{Path: "lo", Format: "live"}},
	}
	s := &watch.State{Started: began, At: began.Add(3*time.Minute + 12*time.Second), Number: 1, Document: doc}
	for i := range n {
		k := kinds()[0]
		if i%9 < len(kinds()) {
			k = kinds()[i%9]
		}
		c, a := connection(i, k)
		if k.certificate == "" && k.verdict == "cleartext" {
			c.TLS = nil
		}
		doc.Connections = append(doc.Connections, c)
		s.Activity = append(s.Activity, a)
	}
	judge(doc)
	s.Packets, s.Bytes, s.LastPacket = uint64(n)*37, uint64(n)*4096, s.At.Add(-time.Second)
	s.Interfaces = []live.InterfaceState{{Name: "lo", Up: true}}
	s.Policy = "mutual"
	s.Connections = uint64(n)
	return s
}

func connection(i int, k kind) (report.Connection, watch.Activity) {
	names := []string{"shop", "orders", "billing", "stock", "legacy", "rabbit"}
	end := func(i int, port uint16) report.Endpoint {
		host := i%250 + 1
		return report.Endpoint{
			Address: fmt.Sprintf("10.30.%d.%d", i/250%250, host), Port: port,
			Node: fmt.Sprintf("%s@n%d.lab", names[i%len(names)], host), NodeBasis: "handshake",
		}
	}
	c := report.Connection{
		ID: fmt.Sprintf("c%d", i+1), Protocol: "dist-tls", ProtocolBasis: []string{"epmd"}, Verdict: &k.verdict, State: k.state, Reason: k.reason,
		Client: end(i, uint16(30000+i%30000)), Server: end(i*7+1, 9100), RolesBasis: "handshake",
		FirstSeen: report.FormatTime(began.Add(time.Duration(i) * time.Millisecond)), LastSeen: report.FormatTime(began.Add(time.Minute)),
		FirstFrame: uint32(i*11 + 1), Packets: report.Counts{Client: 18, Server: 17}, Bytes: report.Counts{Client: 1964, Server: 1977},
		Findings: k.rules,
	}
	if k.tls != "" || k.state == "midstream" {
		c.TLS = &report.TLS{CipherSuite: "TLS_AES_256_GCM_SHA384"}
		c.ClientCertificate = &report.ClientCertificate{Status: k.certificate, Basis: k.basis, Reason: "record sizes"}
	}
	if k.tls != "" {
		c.TLS.Version = &k.tls
	}
	a := watch.Activity{Open: k.open, Last: began.Add(3 * time.Minute), Rate: k.rate, Ticks: k.ticks, Stalled: k.stalled, Lost: k.lost}
	if i%2 == 0 {
		a.Process = live.Process{ID: 1200 + i, Name: "beam.smp"}
	}
	return c, a
}

// judge makes findings of the rules of the connections, and a conclusion.
func judge(doc *report.Document) {
	severity := map[string]string{"DP101": "critical", "DP207": "critical", "DP103": "high", "DP205": "high", "DP109": "medium", "DP112": "low"}
	titles := map[string]string{"DP101": "cleartext distribution", "DP103": "no client certificate", "DP109": "not proven", "DP112": "handshake refused",
		"DP205": "cookie digest exposed", "DP207": "remote code execution surface used in the clear"}
	bad := 0
	for _, c := range doc.Connections {
		if *c.Verdict != "mutual" {
			bad++
		}
		for _, rule := range c.Findings {
			doc.Findings = append(doc.Findings, report.Finding{
				Rule: rule, Severity: severity[rule], Title: titles[rule], Connections: []string{c.ID}, Message: c.Reason, Status: "open",
				Evidence: []report.Evidence{{Frame: c.FirstFrame, Text: "the client's name in the clear"}}, Fix: "use TLS for distribution on both nodes; see DP101",
			})
		}
	}
	doc.Conclusion, doc.Reason = "pass", "every connection between nodes is mutual TLS"
	if bad > 0 {
		doc.Conclusion = "fail"
		doc.Reason = fmt.Sprintf("%d of %d distribution connections are not mutual TLS", bad, len(doc.Connections))
	}
	if len(doc.Connections) == 0 {
		doc.Conclusion, doc.Reason = "inconclusive", "no connection between nodes was seen"
	}
}

// knownSocket is one of the kernel's, of this host's.
func knownSocket(local, remote string, pid int) live.Socket {
	return live.Socket{Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote), Process: live.Process{ID: pid, Name: "beam.smp"}}
}
