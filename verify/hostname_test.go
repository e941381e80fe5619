package verify

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"

	"distproof/decode"
)

func TestMatches(t *testing.T) {
	certificate := func(cn string, names ...string) *Certificate {
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn}, NotBefore: year(2025), NotAfter: year(2030)}
		for _, n := range names {
			if ip := net.ParseIP(n); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else if strings.Contains(n, "@") {
				c.EmailAddresses = append(c.EmailAddresses, n)
			} else {
				c.DNSNames = append(c.DNSNames, n)
			}
		}
		return readCertificate((*authority)(nil).sign(t, c).cert.Raw)
	}
	for _, r := range []struct {
		name string
		cert *Certificate
		host string
		want match
	}{
		{"the same", certificate("", "n2.lab"), "n2.lab", matchYes},
		{"one of several", certificate("", "n2", "n2.lab"), "n2.lab", matchYes},
		{"letters", certificate("", "N2.Lab"), "n2.lAB", matchYes},
		{"trailing dot", certificate("", "n2.lab"), "n2.lab.", matchYes},
		{"short name", certificate("", "n2"), "n2", matchYes},
		{"short name of a long one", certificate("", "n2.lab"), "n2", matchNo},
		{"long name of a short one", certificate("", "n2"), "n2.lab", matchNo},
		{"underscore", certificate("", "my_host"), "my_host", matchYes},
		{"a suffix", certificate("", "lab"), "n2.lab", matchNo},
		{"wildcard", certificate("", "*.lab"), "n2.lab", matchYes},
		{"wildcard for one label only", certificate("", "*.lab"), "a.n2.lab", matchNo},
		{"wildcard for none", certificate("", "*.lab"), "lab", matchNo},
		{"wildcard alone", certificate("", "*"), "n2", matchNo},
		{"part of a label", certificate("", "n*.lab"), "n2.lab", matchNo},
		{"not the left-most label", certificate("", "n2.*.lab"), "n2.a.lab", matchNo},
		{"A-label", certificate("", "xn--mnchen-3ya.lab"), "XN--MNCHEN-3YA.lab", matchYes},
		{"another alphabet", certificate("", "xn--mnchen-3ya.lab"), "münchen.lab", matchUnknown},
		{"IPv4", certificate("", "10.0.0.1"), "10.0.0.1", matchYes},
		{"another address", certificate("", "10.0.0.1"), "10.0.0.2", matchNo},
		{"IPv6, written otherwise", certificate("", "fd00::1"), "FD00:0::0:1", matchYes},
		{"address as name", certificate("", "n2.lab", "10.0.0.1"), "n2.lab", matchYes},
		{"wildcard for an address", certificate("", "*.0.0.1"), "10.0.0.1", matchNo},
		{"common name", certificate("N2.lab"), "n2.lab", matchCommonName},
		{"common name beside a name", certificate("n2.lab", "n3.lab"), "n2.lab", matchNo},
		{"common name beside a mail address", certificate("n2.lab", "a@b"), "n2.lab", matchNo},
		{"wildcard in the common name", certificate("*.lab"), "n2.lab", matchNo},
		{"nothing", certificate(""), "n2.lab", matchNo},
		{"no host", certificate("", "n2.lab"), "", matchUnknown},
		{"a dot", certificate("", "n2.lab"), ".", matchUnknown},
		{"unparsable", readCertificate([]byte("x")), "n2.lab", matchUnknown},
	} {
		if got := r.cert.matches(host{name: r.host}); got != r.want {
			t.Errorf("%s: %d, want %d", r.name, got, r.want)
		}
	}
}

func TestDialledHost(t *testing.T) {
	silent := func(c *decode.Connection) { c.TLS.Client.ServerName = "" }
	named := func(c *decode.Connection) { c.Ends[server].Node, c.Ends[server].NodeBasis = "b@n9.lab", "epmd" }
	for _, r := range []struct {
		name string
		c    *decode.Connection
		want string
		asks bool
	}{
		{"server_name", with(mutual(), named), "n2.lab (server_name)", true},
		{"EPMD", with(mutual(), silent, named), "n9.lab (host of b@n9.lab, by epmd)", false},
		{"host alone", with(mutual(), silent, func(c *decode.Connection) { c.Ends[server].Host = "n7" }), "n7 (the node's host)", false},
		{"no ClientHello", with(mutual(), named, func(c *decode.Connection) { c.TLS.Client = nil }), "n9.lab (host of b@n9.lab, by epmd)", false},
		{"unknown", with(mutual(), silent), " ()", false},
		{"a name without host", with(mutual(), silent, named, func(c *decode.Connection) { c.Ends[server].Node = "b@" }), " ()", false},
	} {
		if got := dialledHost(r.c); got.String() != r.want || got.asked != r.asks {
			t.Errorf("%s: %s, %t", r.name, got, got.asked)
		}
	}
}

func TestNamesAreClipped(t *testing.T) {
	long := strings.Repeat("a", 5000)
	cert := readCertificate((*authority)(nil).sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: long}, DNSNames: []string{long, "b", "c", "d", "e", "f"}, NotBefore: year(2025), NotAfter: year(2030),
	}).cert.Raw)
	if got := cert.names(); len(got) > 200 || !strings.HasSuffix(got, "…, b, c, d and 2 more") {
		t.Errorf("names: %s", got)
	}
	if got := cert.name() + cert.issuer(); len(got) > 300 {
		t.Errorf("%d characters: %s", len(got), got)
	}
}
