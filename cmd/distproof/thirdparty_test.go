package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"distproof/capture"
	"distproof/decode/tls"
	"distproof/report"
)

// thirdPartyDir is where captures of other projects lie, and what Wireshark
// says of each; they cannot be part of this one.
const thirdPartyDir = "../../../shared/third-party"

// A wiresharked is what Wireshark 4.0 reads from a capture.
type wiresharked struct {
	Path string
	// Frames counts what Wireshark gives a frame number.
	Frames     uint64
	TCPStreams int `json:"tcp_streams"`
	// Streams are those in which it sees a handshake of TLS, or EPMD.
	Streams []wiresharkStream
}

type wiresharkStream struct {
	Stream         int
	Kind           string
	Client, Server string
	Version        *string
	Suite          string `json:"ciphersuite"`
	CertRequest    bool   `json:"cert_request"`
	// Appdata says that application data crossed: the handshake did not fail.
	Appdata bool
	// ClientCert is present, empty, absent or unknown-encrypted; absent says
	// only that none was seen.
	ClientCert  string   `json:"client_cert"`
	ClientChain []string `json:"client_cert_sha256"`
	ServerChain []string `json:"server_cert_sha256"`
}

// A difference is where distproof says something else than Wireshark, and why
// it should.
type difference struct{ ours, theirs, why string }

const (
	carried = "the records travel inside messages of another protocol, which Wireshark takes apart. Other bytes lie between them, so that the connection is not TLS from end to end"
	partial = "the client's answer is not in the file. Wireshark's absent says that no certificate was seen, ours would say that none was sent"
	noHello = "one direction from the middle, encrypted records only. Wireshark's list has streams with a handshake"
	blocks  = "Wireshark numbers custom blocks. So do we, but they are no packets"
	section = "there is a section of pcapng version 2.0, at which Wireshark stops. We say so, pass over it, and read the section behind it"
	oneByte = "the ServerHello's extensions have one byte, where the least has four: a peer answers decode_error (RFC 8446, Section 4.2). Wireshark warns, and takes the rest"
	noBytes = "the ServerHello's supported_versions is empty: a peer answers decode_error (RFC 8446, Section 4.2). Wireshark takes the next extension's number, 44, for the version"
)

// differences are all of them. A stream's number is Wireshark's, for what only
// we see our own.
var differences = map[string]difference{
	"arkime/arkime_synthetic.pcap stream 43 client certificate": {"unknown", "absent", partial},
	"arkime/arkime_synthetic.pcap stream 54 client certificate": {"unknown", "absent", partial},
	"arkime/arkime_synthetic.pcap stream 76 client certificate": {"unknown", "absent", partial},
	"arkime/arkime_synthetic.pcap stream 90 client certificate": {"unknown", "absent", partial},
	"arkime/arkime_synthetic.pcap stream 90 version":            {"null", "1.2", oneByte},
	"arkime/arkime_synthetic.pcap stream 91 client certificate": {"unknown", "absent", partial},
	"arkime/arkime_synthetic.pcap stream 92 client certificate": {"unknown", "absent", partial},
	"arkime/arkime_synthetic.pcap stream 97 client certificate": {"unknown", "absent", partial},
	"arkime/arkime_synthetic.pcap stream 97 version":            {"null", "0x002c", noBytes},
	"arkime/mysql-tls.pcap stream 0 client certificate":         {"unknown", "absent", partial},

	"pcapplusplus/many_interfaces-1.pcapng stream 1 client certificate":                      {"unknown", "absent", partial},
	"wireshark-wiki/Development__PcapNg__many_interfaces.pcapng stream 1 client certificate": {"unknown", "absent", partial},
	"pcapplusplus/raw_ip.pcap c5 protocol":                                                   {"tls", "not listed", noHello},
	"pcapplusplus/sll2.pcap c1 protocol":                                                     {"tls", "not listed", noHello},
	"wireshark-wiki/Development__PcapNg__" + wifi + " c1 protocol":                           {"tls", "not listed", noHello},
	"wireshark-wiki/Development__PcapNg__" + wifi + " packets":                               {"413", "411", "Wireshark stops at a Bluetooth packet that is too short for its header. We do not look into Bluetooth"},
	"gopacket/pcapgo__tests__be__test901.pcapng packets":                                     {"2", "1", section},
	"gopacket/pcapgo__tests__le__test901.pcapng packets":                                     {"2", "1", section},
	"pcapng-test-generator/output_be__advanced__test102.pcapng packets":                      {"5", "8", blocks},
	"pcapng-test-generator/output_be__difficult__test202.pcapng packets":                     {"8", "11", blocks},
	"pcapng-test-generator/output_le__advanced__test102.pcapng packets":                      {"5", "8", blocks},
	"pcapng-test-generator/output_le__difficult__test202.pcapng packets":                     {"8", "11", blocks},
	"tcpflow/test5-lines-randomized.pcap connections":                                        {"1", "2", "the SYN comes late, as frame 10. Its sequence number is the one before the data's: the same connection"},
	"wireshark-wiki/ejemplo.pcap connections":                                                {"0", "1", "the TCP header says that it has no length: no segment"},

	"wireshark-wiki/OpenVPN_TCP_tls-auth.pcapng stream 0 client certificate":  {"unknown", "present", carried},
	"wireshark-wiki/OpenVPN_TCP_tls-auth.pcapng stream 0 certificate request": {"unknown", "true", carried},
	"wireshark-wiki/OpenVPN_TCP_tls-auth.pcapng stream 0 client chain":        {"[]", "[d55e7311 c64213c0]", carried},
	"wireshark-wiki/OpenVPN_TCP_tls-auth.pcapng stream 0 server chain":        {"[]", "[9765aafc c64213c0]", carried},
	"wireshark-wiki/OpenVPN_TCP_tls-auth.pcapng stream 1 client certificate":  {"unknown", "present", carried},
	"wireshark-wiki/OpenVPN_TCP_tls-auth.pcapng stream 1 certificate request": {"unknown", "true", carried},
	"wireshark-wiki/OpenVPN_TCP_tls-auth.pcapng stream 1 client chain":        {"[]", "[649e5cde c64213c0]", carried},
	"wireshark-wiki/OpenVPN_TCP_tls-auth.pcapng stream 1 server chain":        {"[]", "[9765aafc c64213c0]", carried},
	"wireshark-wiki/jxta-mcast-sample.pcap stream 0 client certificate":       {"unknown", "present", carried},
	"wireshark-wiki/jxta-mcast-sample.pcap stream 0 client chain":             {"[]", "[dae111a4 c823cbd0]", carried},
	"wireshark-wiki/jxta-sample.pcap stream 3 client certificate":             {"unknown", "present", carried},
	"wireshark-wiki/jxta-sample.pcap stream 3 client chain":                   {"[]", "[39b1af4a c823cbd0]", carried},
}

// wifi is a long name.
const wifi = "pcap-ng_Wi-Fi_Bluetooth_USB_Cooked_timestamps_issue_1.ntar"

// TestThirdParty holds the pipeline against Wireshark, where the captures are.
func TestThirdParty(t *testing.T) {
	found := make(map[string]difference)
	read := thirdParty(t, func(t *testing.T, want wiresharked) {
		doc := documentOfThirdParty(t, want.Path)
		checkNoDistribution(t, doc)
		for what, d := range compare(want, doc) {
			found[want.Path+" "+what] = d
		}
	})
	if !read {
		return
	}
	for what, d := range found {
		if known, ok := differences[what]; !ok || known.ours != d.ours || known.theirs != d.theirs {
			t.Errorf("%s: we say %s, Wireshark %s; known: %+v", what, d.ours, d.theirs, known)
		}
	}
	for what := range differences {
		if _, ok := found[what]; !ok {
			t.Errorf("%s: no longer different", what)
		}
	}
}

// thirdParty calls each for every capture, and reports whether there are any: they
// are an additional set.
func thirdParty(t *testing.T, each func(t *testing.T, want wiresharked)) bool {
	t.Helper()
	f, err := os.Open(filepath.Join(thirdPartyDir, "tshark.jsonl"))
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var want wiresharked
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		t.Run(want.Path, func(t *testing.T) { each(t, want) })
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return true
}

// documentOfThirdParty analyses a capture and takes its document through JSON.
func documentOfThirdParty(t *testing.T, path string) *report.Document {
	t.Helper()
	src, err := capture.Open([]string{filepath.Join(thirdPartyDir, path)}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	// Some were rewritten, and Wireshark does not look at checksums either.
	doc, err := analyze(src, analyzeOptions{Judge: true, AnyChecksum: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range report.Formats() {
		var out bytes.Buffer
		if err := report.Render(&out, doc, format, report.Options{}); err != nil {
			t.Fatal(err)
		}
		if format == "json" {
			doc = new(report.Document)
			if err := json.Unmarshal(out.Bytes(), doc); err != nil {
				t.Fatal(err)
			}
		}
	}
	return doc
}

// checkNoDistribution: none of these captures has a node in it that dials another.
func checkNoDistribution(t *testing.T, doc *report.Document) {
	t.Helper()
	for _, c := range doc.Connections {
		if c.Verdict != nil || c.Protocol == "dist" || c.Protocol == "dist-tls" {
			t.Errorf("%s: %s", c.ID, claims(c))
		}
	}
	if doc.Conclusion != "inconclusive" || len(doc.Nodes) != 0 {
		t.Errorf("%s (%s), nodes %+v", doc.Conclusion, doc.Reason, doc.Nodes)
	}
}

// compare lists the differences of a capture.
func compare(want wiresharked, doc *report.Document) map[string]difference {
	out := make(map[string]difference)
	differ := func(what string, ours, theirs any) {
		if o, t := fmt.Sprint(ours), fmt.Sprint(theirs); o != t {
			out[what] = difference{ours: o, theirs: t}
		}
	}
	differ("packets", doc.Inputs[0].Packets, want.Frames)
	differ("connections", len(doc.Connections), want.TCPStreams)
	listed := make(map[string]bool)
	for _, s := range want.Streams {
		at := fmt.Sprintf("stream %d ", s.Stream)
		c := connectionOf(doc, s)
		if c == nil {
			differ(at+"connection", "none", s.Client+" to "+s.Server)
			continue
		}
		listed[c.ID] = true
		differ(at+"protocol", c.Protocol, s.Kind)
		if c.TLS != nil {
			compareTLS(*c, s, func(what string, ours, theirs any) { differ(at+what, ours, theirs) })
		}
	}
	for _, c := range doc.Connections {
		if (c.Protocol == "tls" || c.Protocol == "epmd") && !listed[c.ID] {
			differ(c.ID+" protocol", c.Protocol, "not listed")
		}
	}
	return out
}

// connectionOf finds a stream of Wireshark. Ports are not used twice there.
func connectionOf(doc *report.Document, s wiresharkStream) *report.Connection {
	ends := func(a, b string) string { return min(a, b) + " " + max(a, b) }
	name := func(e report.Endpoint) string { return e.Address + ":" + strconv.Itoa(int(e.Port)) }
	for i, c := range doc.Connections {
		if ends(name(c.Client), name(c.Server)) == ends(s.Client, s.Server) {
			return &doc.Connections[i]
		}
	}
	return nil
}

// compareTLS compares what both can know: of what is encrypted, Wireshark knows nothing.
func compareTLS(c report.Connection, s wiresharkStream, differ func(what string, ours, theirs any)) {
	client := c.Client.Address + ":" + strconv.Itoa(int(c.Client.Port))
	differ("client", client, s.Client)
	if s.Appdata {
		differ("failed", c.State == "tls-failed", false)
	}
	version := wiresharkVersion(s.Version)
	differ("version", text(c.TLS.Version), version)
	if s.Suite != "" && c.TLS.Version != nil {
		n, err := strconv.ParseUint(s.Suite, 0, 16)
		if err != nil {
			panic(err)
		}
		differ("suite", c.TLS.CipherSuite, tls.Suite(n))
	}
	if s.ClientCert == "unknown-encrypted" {
		return
	}
	cert := c.ClientCertificate
	status := map[string]string{"presented": "present", "empty": "empty", "not-requested": "absent", "resumed": "absent"}
	differ("client certificate", cmp.Or(status[cert.Status], cert.Status), s.ClientCert)
	if cert.Requested != nil || s.CertRequest {
		differ("certificate request", boolean(cert.Requested), s.CertRequest)
	}
	differ("client chain", hashes(cert.Chain), brief(s.ClientChain))
	differ("server chain", hashes(c.ServerCertificate.Chain), brief(s.ServerChain))
}

func boolean(b *bool) string {
	if b == nil {
		return "unknown"
	}
	return strconv.FormatBool(*b)
}

func hashes(chain []report.Certificate) []string {
	var out []string
	for _, c := range chain {
		out = append(out, c.SHA256)
	}
	return brief(out)
}

// brief shortens hashes to what still tells certificates apart, and people can read.
func brief(hashes []string) []string {
	var out []string
	for _, h := range hashes {
		out = append(out, h[:8])
	}
	return out
}

// wiresharkVersion translates Wireshark's names.
func wiresharkVersion(v *string) string {
	names := map[string]string{"SSL3": "SSL3.0", "TLS1.0": "1.0", "TLS1.1": "1.1", "TLS1.2": "1.2", "TLS1.3": "1.3", "TLS1.3-draft18": "1.3-draft18"}
	if v == nil {
		return "null"
	}
	return cmp.Or(names[*v], *v)
}
