package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distproof/capture"
	"distproof/internal/mutate"
	"distproof/report"
)

// The bundled captures, and more of them that are not part of the project.
const (
	pcapsDir  = "../../pcaps"
	sharedDir = "../../../shared/captures"
)

// largest bounds the captures that are mutated, so that the tests take minutes.
const largest = 300 << 10

// captures returns the captures to test with: those of the project, and the
// others if they are there.
func captures(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(pcapsDir + "/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures in %s: %v", pcapsDir, err)
	}
	more, err := filepath.Glob(sharedDir + "/*.pcap")
	if err != nil {
		t.Fatal(err)
	}
	return append(files, more...)
}

// documentOf analyses a capture file's bytes.
func documentOf(t testing.TB, data []byte) *report.Document {
	t.Helper()
	src, err := capture.NewReader(bytes.NewReader(data), "test")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := analyze(src, analyzeOptions{Judge: true})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func documentOfPackets(t testing.TB, packets []mutate.Packet, f mutate.Format) *report.Document {
	t.Helper()
	data, err := mutate.Bytes(packets, f)
	if err != nil {
		t.Fatal(err)
	}
	return documentOf(t, data)
}

func documentOfFile(t testing.TB, path string) *report.Document {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return documentOf(t, data)
}

// wanted is what truth.json says of a connection; absent fields are not known.
type wanted struct {
	Client, Server    string
	ClientNode        string `json:"client_node"`
	ServerNode        string `json:"server_node"`
	ServerPort        uint16 `json:"server_port"`
	Protocol          string
	Verdict           *string
	StateUp           bool `json:"state_up"`
	Midstream         bool
	ClientCertificate string `json:"client_certificate"`
	TLSVersion        string `json:"tls_version"`
}

func TestBundledCapturesAgreeWithTruth(t *testing.T) {
	var truth map[string]struct{ Connections []wanted }
	readJSON(t, filepath.Join(pcapsDir, "truth.json"), &truth)
	files, err := filepath.Glob(pcapsDir + "/*.pcap")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(truth) {
		t.Errorf("%d captures, but truth of %d", len(files), len(truth))
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".pcap")
		t.Run(name, func(t *testing.T) {
			want, ok := truth[name]
			if !ok {
				t.Fatal("not in truth.json")
			}
			var got []report.Connection
			for _, c := range documentOfFile(t, path).Connections {
				if c.Protocol != "epmd" {
					got = append(got, c)
				}
			}
			if len(got) != len(want.Connections) {
				t.Fatalf("%d connections, want %d", len(got), len(want.Connections))
			}
			for i, w := range want.Connections {
				checkConnection(t, got[i], w)
			}
		})
	}
}

func checkConnection(t *testing.T, got report.Connection, want wanted) {
	t.Helper()
	if got.Client.Address != want.Client || got.Server.Address != want.Server || got.Server.Port != want.ServerPort {
		t.Errorf("%s: %s to %s:%d, want %s to %s:%d", got.ID, got.Client.Address, got.Server.Address, got.Server.Port, want.Client, want.Server, want.ServerPort)
	}
	if got.Protocol != want.Protocol {
		t.Errorf("%s: protocol %s, want %s", got.ID, got.Protocol, want.Protocol)
	}
	if !cmp.Equal(got.Verdict, want.Verdict) {
		t.Errorf("%s: verdict %s, want %s (%s)", got.ID, text(got.Verdict), text(want.Verdict), got.Reason)
	}
	if got.State != "midstream" && (got.State == "up") != want.StateUp || (got.State == "midstream") != want.Midstream {
		t.Errorf("%s: state %s, want up %t", got.ID, got.State, want.StateUp)
	}
	if got.Client.Node != "" && got.Client.Node != want.ClientNode || got.Server.Node != "" && got.Server.Node != want.ServerNode {
		t.Errorf("%s: %s to %s, want %s to %s", got.ID, got.Client.Node, got.Server.Node, want.ClientNode, want.ServerNode)
	}
	if c := got.ClientCertificate; want.ClientCertificate != "" && (c == nil || c.Status != want.ClientCertificate) {
		t.Errorf("%s: client certificate %+v, want %s", got.ID, c, want.ClientCertificate)
	}
	if v := got.TLS; want.TLSVersion != "" && (v == nil || text(v.Version) != want.TLSVersion) {
		t.Errorf("%s: TLS %+v, want %s", got.ID, v, want.TLSVersion)
	}
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

// unobservable are captures whose truth is not on the wire, and why.
var unobservable = map[string]string{
	"otp27_tls_noconfig": "the node gave up before it dialled: there is no connection to judge",
}

// TestMoreCapturesAgreeWithTruth runs where the other captures are.
func TestMoreCapturesAgreeWithTruth(t *testing.T) {
	path := filepath.Join(sharedDir, "truth.json")
	if _, err := os.Stat(path); err != nil {
		return // an additional set; the bundled one is tested in any case
	}
	var truth map[string]struct {
		Verdict           *string
		Established       bool
		Protocol          string
		ClientCertificate string  `json:"client_certificate"`
		TLSVersion        *string `json:"tls_version"`
	}
	readJSON(t, path, &truth)
	for name, want := range truth {
		t.Run(name, func(t *testing.T) {
			var got []report.Connection
			for _, c := range documentOfFile(t, filepath.Join(sharedDir, name+".pcap")).Connections {
				if c.Verdict != nil || want.Protocol == "tls" && c.Protocol == "tls" {
					got = append(got, c)
				}
			}
			if _, ok := unobservable[name]; len(got) == 0 && !ok {
				t.Fatal("no connection to judge")
			}
			for i, c := range got {
				if text(c.Verdict) != text(want.Verdict) {
					t.Errorf("%s: verdict %s, want %s (%s)", c.ID, text(c.Verdict), text(want.Verdict), c.Reason)
				}
				if up := c.State == "up" || c.State == "midstream"; up != want.Established {
					t.Errorf("%s: state %s, want established %t", c.ID, c.State, want.Established)
				}
				if cert := c.ClientCertificate; want.ClientCertificate != "" && (cert == nil || cert.Status != want.ClientCertificate && (i == 0 || cert.Status != "resumed")) {
					t.Errorf("%s: client certificate %+v, want %s", c.ID, cert, want.ClientCertificate)
				}
				if c.TLS != nil && want.TLSVersion != nil && text(c.TLS.Version) != *want.TLSVersion {
					t.Errorf("%s: TLS %s, want %s", c.ID, text(c.TLS.Version), *want.TLSVersion)
				}
			}
		})
	}
}

// TestMixedClusterEdges checks the edges of a cluster of six nodes.
func TestMixedClusterEdges(t *testing.T) {
	path := filepath.Join(sharedDir, "otp25_mixed_tls13.mixed.json")
	if _, err := os.Stat(path); err != nil {
		return
	}
	var truth struct {
		Edges []struct {
			Client, Server, Verdict string
			Up                      bool
		}
	}
	readJSON(t, path, &truth)
	var got []report.Connection
	for _, c := range documentOfFile(t, filepath.Join(sharedDir, "otp25_mixed_tls13.pcap")).Connections {
		if c.Verdict != nil {
			got = append(got, c)
		}
	}
	if len(got) != len(truth.Edges) {
		t.Fatalf("%d distribution connections, want %d", len(got), len(truth.Edges))
	}
	for i, e := range truth.Edges {
		c := got[i]
		if *c.Verdict != e.Verdict || (c.State == "up") != e.Up || c.Server.Node != e.Server || c.Client.Node != "" && c.Client.Node != e.Client {
			t.Errorf("%s: %s to %s %s %s, want %+v", c.ID, c.Client.Node, c.Server.Node, *c.Verdict, c.State, e)
		}
	}
}

var frameNumber = regexp.MustCompile(`frame \d+`)

// essence is what must be the same however a capture was delivered: all of a
// connection but frames, packets, times and encapsulation.
func essence(doc *report.Document) []string {
	var out []string
	for _, c := range doc.Connections {
		rules := c.Findings
		c.ID, c.FirstFrame, c.Input, c.FirstSeen, c.LastSeen = "", 0, 0, "", ""
		c.Packets, c.Encapsulation = report.Counts{}, nil
		c.Findings = rules
		if c.TLS != nil {
			for i := range c.TLS.Alerts {
				c.TLS.Alerts[i].Frame = 0
			}
			if c.TLS.ResumedFrom != "" {
				c.TLS.ResumedFrom = "another"
			}
		}
		if c.Cleartext != nil {
			c.Cleartext.FirstFrame, c.Cleartext.LastFrame = 0, 0
			withoutFrames(c.Cleartext.Calls)
		}
		if c.Decrypted != nil {
			withoutFrames(c.Decrypted.Calls)
		}
		data, err := json.Marshal(c)
		if err != nil {
			panic(err)
		}
		out = append(out, frameNumber.ReplaceAllString(string(data), "frame"))
	}
	slices.Sort(out)
	for i := range doc.EPMD.Exchanges {
		doc.EPMD.Exchanges[i].FirstFrame, doc.EPMD.Exchanges[i].Input = 0, 0
	}
	tail, err := json.Marshal([]any{doc.Nodes, doc.Summary, doc.Conclusion, doc.Reason, doc.EPMD})
	if err != nil {
		panic(err)
	}
	return append(out, string(tail))
}

func withoutFrames(calls []report.Call) {
	for i := range calls {
		calls[i].FirstFrame, calls[i].LastFrame = 0, 0
	}
}

// mutable returns the captures that are not too large to mutate: all of the
// project, and of the others one in four, with DISTPROOF_DAMAGE all. With -short
// there are few.
func mutable(t *testing.T) []string {
	var out []string
	others := 0
	for i, path := range captures(t) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > largest || testing.Short() && i%16 != 0 {
			continue
		}
		if filepath.Dir(path) != filepath.Clean(pcapsDir) {
			if others++; os.Getenv("DISTPROOF_DAMAGE") == "" && others%4 != 0 {
				continue
			}
		}
		out = append(out, path)
	}
	return out
}

// small calls each with the packets of every mutable capture.
func small(t *testing.T, each func(t *testing.T, packets []mutate.Packet, original *report.Document)) {
	for _, path := range mutable(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			packets, err := mutate.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			each(t, packets, documentOfPackets(t, packets, mutate.Format{}))
		})
	}
}

// TestDeliveryDoesNotMatter: the same bytes, delivered in any way, show the
// same facts.
func TestDeliveryDoesNotMatter(t *testing.T) {
	small(t, func(t *testing.T, packets []mutate.Packet, original *report.Document) {
		want := essence(original)
		for _, m := range mutate.All() {
			mutated := m.Apply(packets)
			if mutated == nil {
				continue
			}
			if diff := cmp.Diff(want, essence(documentOfPackets(t, mutated, mutate.Format{}))); m.Equal && diff != "" {
				t.Errorf("%s: %s", m.Name, diff)
			}
		}
		for _, f := range mutate.Formats() {
			if diff := cmp.Diff(want, essence(documentOfPackets(t, packets, f))); diff != "" {
				t.Errorf("%s: %s", f, diff)
			}
		}
	})
}

// TestCopiesCountOnce: a packet that was captured twice, or on several
// interfaces, is one packet.
func TestCopiesCountOnce(t *testing.T) {
	small(t, func(t *testing.T, packets []mutate.Packet, original *report.Document) {
		want := byEndpoints(original)
		for name, mutated := range map[string][]mutate.Packet{"duplicate": mutate.Duplicate(packets), "any interfaces": mutate.AnyInterfaces(packets)} {
			if mutated == nil {
				continue
			}
			for key, connections := range byEndpoints(documentOfPackets(t, mutated, mutate.Format{})) {
				for i, c := range connections {
					if c.Packets != want[key][i].Packets {
						t.Errorf("%s: %s: %+v packets, want %+v", name, key, c.Packets, want[key][i].Packets)
					}
				}
			}
		}
	})
}

// TestLossNeverStrengthens: whatever is missing, nothing is claimed that the
// whole capture does not show.
func TestLossNeverStrengthens(t *testing.T) {
	small(t, func(t *testing.T, packets []mutate.Packet, original *report.Document) {
		for v := range mutate.Losses(packets) {
			for _, problem := range stronger(original, documentOfPackets(t, v.Packets, mutate.Format{})) {
				t.Errorf("%s: %s", v.Name, problem)
			}
		}
	})
}

// TestAttackersCannotImproveVerdicts: packets that somebody adds make a verdict
// inconclusive at the most.
func TestAttackersCannotImproveVerdicts(t *testing.T) {
	small(t, func(t *testing.T, packets []mutate.Packet, original *report.Document) {
		for v := range mutate.Attacks(packets) {
			for _, problem := range better(original, documentOfPackets(t, v.Packets, mutate.Format{})) {
				t.Errorf("%s: %s", v.Name, problem)
			}
		}
	})
}

// key identifies a connection of a document by its endpoints, whoever is the
// client, and its place among those with the same ones.
func byEndpoints(doc *report.Document) map[string][]report.Connection {
	out := make(map[string][]report.Connection)
	for _, c := range doc.Connections {
		ends := []string{fmt.Sprint(c.Client.Address, " ", c.Client.Port), fmt.Sprint(c.Server.Address, " ", c.Server.Port)}
		slices.Sort(ends)
		key := strings.Join(ends, " ")
		out[key] = append(out[key], c)
	}
	return out
}

// stronger lists the claims of got that want does not make.
func stronger(want, got *report.Document) []string {
	var problems []string
	originals := byEndpoints(want)
	for key, connections := range byEndpoints(got) {
		for _, c := range connections {
			if !slices.ContainsFunc(originals[key], func(o report.Connection) bool { return weakerOrSame(c, o) }) {
				problems = append(problems, fmt.Sprintf("%s: %s", key, claims(c))+" of "+claims(first(originals[key])))
			}
		}
	}
	if got.Conclusion == "pass" && want.Conclusion != "pass" && got.Summary.Distribution.Total() == want.Summary.Distribution.Total() {
		problems = append(problems, "passes: "+got.Reason)
	}
	return problems
}

func first(c []report.Connection) report.Connection {
	if len(c) == 0 {
		return report.Connection{}
	}
	return c[0]
}

func claims(c report.Connection) string {
	status, version := "-", "-"
	if c.ClientCertificate != nil {
		status = c.ClientCertificate.Status
	}
	if c.TLS != nil {
		version = text(c.TLS.Version)
	}
	return fmt.Sprintf("%s %s %s, certificate %s, TLS %s, %s>%s (%s)", c.Protocol, text(c.Verdict), c.State, status, version, c.Client.Node, c.Server.Node, c.Reason)
}

// weakerOrSame reports whether c claims nothing that o does not.
func weakerOrSame(c, o report.Connection) bool {
	switch {
	case c.Verdict != nil && *c.Verdict != "inconclusive" && text(c.Verdict) != text(o.Verdict):
		return false
	case !weakerState(c.State, o.State) && !(c.Protocol == "tls" && c.State == "up" && o.State == "dist-refused"):
		return false // of TLS that is not known to be distribution, the state is its own
	case (c.Protocol == "dist" || c.Protocol == "dist-tls") && c.Protocol != o.Protocol:
		return false
	case !namedIn(c.Client.Node, o) || !namedIn(c.Server.Node, o):
		return false
	}
	if c.TLS != nil && c.TLS.Version != nil && (o.TLS == nil || *c.TLS.Version != text(o.TLS.Version)) {
		return false
	}
	if k := c.ClientCertificate; k != nil && k.Status != "unknown" {
		return o.ClientCertificate != nil && k.Status == o.ClientCertificate.Status && !stronglyBased(k.Basis, o.ClientCertificate.Basis)
	}
	return true
}

// namedIn reports whether o has the name, whoever is its client.
func namedIn(name string, o report.Connection) bool {
	return name == "" || name == o.Client.Node || name == o.Server.Node
}

// weakerState allows a session's fate to be less known than it was.
func weakerState(c, o string) bool {
	return c == o || c == "incomplete" || c == "midstream" ||
		c == "up" && o == "midstream" // a beginning that is no longer seen to be missing
}

var bases = []string{"none", "inferred", "observed", "decrypted", "verified"}

func stronglyBased(a, b string) bool { return slices.Index(bases, a) > slices.Index(bases, b) }

// better lists verdicts of got that are better than those of want: mutual where
// the original was not, or nothing bad left of a connection that was.
func better(want, got *report.Document) []string {
	var problems []string
	originals := byEndpoints(want)
	for key, connections := range byEndpoints(got) {
		for _, c := range connections {
			o := first(originals[key])
			if text(c.Verdict) == "mutual" && text(o.Verdict) != "mutual" {
				problems = append(problems, fmt.Sprintf("%s: %s of %s", key, claims(c), claims(o)))
			}
		}
	}
	if got.Conclusion == "pass" && want.Conclusion != "pass" {
		problems = append(problems, "passes: "+got.Reason)
	}
	return problems
}
