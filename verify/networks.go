package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Networks are ranges of addresses.
type Networks []netip.Prefix

// Has reports whether one of the networks has a.
func (n Networks) Has(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(n, func(p netip.Prefix) bool { return p.Contains(a) })
}

// ParseNetwork reads a network in CIDR notation, or a single address.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a network like 10.0.0.0/8 or fd00::/8", s)
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits behind its length: %s is meant, most likely", s, p.Masked())
	}
	return p, nil
}

func networks(cidrs ...string) Networks {
	var out Networks
	for _, s := range cidrs {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// private are the networks whose addresses mean nothing elsewhere. All others
// are public, those for documentation too: nobody should see them.
var private = networks(
	"127.0.0.0/8", "::1/128", // loopback
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // RFC 1918
	"fc00::/7",                    // RFC 4193
	"169.254.0.0/16", "fe80::/10", // link-local
	"100.64.0.0/10", // carriers' NAT, RFC 6598
)

// maxNamed bounds the addresses that a message names.
const maxNamed = 3

// enumerate names the first of some things, and says how many more there are.
func enumerate(names []string) string {
	if rest := len(names) - maxNamed; rest > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), rest)
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}
