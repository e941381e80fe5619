package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"distproof/decode"
)

// A host is what the server's certificate must be for.
type host struct {
	name string
	// node is the node whose name has it, which is known by basis; "" if it is known
	// without.
	node, basis string
	// asked says that the client itself named it, in its hello.
	asked bool
	// any says that the certificate may be for another one.
	any bool
}

// String names the host and says how it is known.
func (h host) String() string { return fmt.Sprintf("%s (%s)", clip(h.name), clip(h.source())) }

// source says how the name is known.
func (h host) source() string {
	switch {
	case h.asked:
		return "server_name"
	case h.node != "":
		return "host of " + h.node + ", by " + h.basis
	case h.name != "":
		return "the node's host"
	}
	return ""
}

// dialledHost returns the host that the client wanted: what it says in its
// hello, else the host part of the server's name. The zero host is unknown.
func dialledHost(c *decode.Connection) host {
	if c.TLS.Client != nil && c.TLS.Client.ServerName != "" {
		return host{name: c.TLS.Client.ServerName, asked: true}
	}
	end := c.Ends[decode.Server]
	if _, name, found := strings.Cut(end.Node, "@"); found && name != "" {
		return host{name: name, node: end.Node, basis: end.NodeBasis}
	}
	return host{name: end.Host}
}

// A match is how a certificate stands to a host.
type match uint8

const (
	matchUnknown match = iota // cannot be compared
	matchYes
	matchNo
	// matchCommonName: the common name says so, and there are no other names.
	matchCommonName
)

// matches compares a certificate with a host by RFC 9525: subjectAltName alone
// counts, addresses are compared with addresses, a wildcard is a whole left-most
// label. x509's VerifyHostname does all that; what it does not is to refrain
// from comparing a name in another alphabet, which certificates hold in its
// ASCII form (RFC 5890, Section 2.3.2.1).
func (c *Certificate) matches(h host) match {
	name := strings.TrimSuffix(h.name, ".")
	switch {
	case c.X509 == nil || name == "" || h.any || strings.ContainsFunc(name, func(r rune) bool { return r > 0x7e }):
		return matchUnknown
	case c.X509.VerifyHostname(name) == nil:
		return matchYes
	case !c.hasAltNames() && strings.EqualFold(c.X509.Subject.CommonName, name):
		return matchCommonName
	}
	return matchNo
}

// hasAltNames reports whether there is a subjectAltName extension, of whatever
// kind: beside one, nobody looks at the common name.
func (c *Certificate) hasAltNames() bool {
	return slices.ContainsFunc(c.X509.Extensions, func(e pkixExtension) bool { return e.Id.Equal(oidAltName) })
}

// names says whom the certificate is for, in a message.
func (c *Certificate) names() string {
	const most = 4
	var list []string
	for _, name := range c.X509.DNSNames {
		list = append(list, clip(name))
	}
	for _, ip := range c.X509.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			list = append(list, a.Unmap().String())
		}
	}
	switch n := len(list); {
	case n == 0 && c.X509.Subject.CommonName != "":
		return fmt.Sprintf("nobody (no subjectAltName; common name %q)", clip(c.X509.Subject.CommonName))
	case n == 0:
		return "nobody (no subjectAltName)"
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), n-most)
	}
	return strings.Join(list, ", ")
}
