package verify

import (
	"net/netip"
	"testing"
)

func TestPrivateNetworks(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "10.255.0.1": true, "172.16.0.1": true, "172.31.255.255": true, "192.168.1.1": true,
		"fd00::1": true, "169.254.1.1": true, "fe80::1": true, "fe80::1%eth0": true, "100.64.0.1": true, "100.127.255.255": true,
		"::ffff:10.0.0.1": true,
		"172.32.0.1":      false, "192.169.0.1": false, "100.128.0.1": false, "8.8.8.8": false, "2001:db8::1": false, "2a00::1": false,
		"203.0.113.5": false, "198.51.100.7": false, "192.0.2.1": false, "::ffff:203.0.113.5": false, "0.0.0.0": false,
	} {
		if got := private.Has(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "10.1.2.3": "10.1.2.3/32", "fd00::/8": "fd00::/8", "::1": "::1/128",
		"::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:10.1.2.3": "10.1.2.3/32", "0.0.0.0/0": "0.0.0.0/0",
	} {
		if got, err := ParseNetwork(text); err != nil || got.String() != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":            `"" is not a network like 10.0.0.0/8 or fd00::/8`,
		"10.0.0.0/33": `"10.0.0.0/33" is not a network like 10.0.0.0/8 or fd00::/8`,
		"lan":         `"lan" is not a network like 10.0.0.0/8 or fd00::/8`,
		"fe80::1%lo":  `"fe80::1%lo" is not a network like 10.0.0.0/8 or fd00::/8`,
		"10.0.0.7/8":  `"10.0.0.7/8" has bits behind its length: 10.0.0.0/8 is meant, most likely`,
	} {
		if got, err := ParseNetwork(text); err == nil || err.Error() != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}

func TestEnumerate(t *testing.T) {
	for want, names := range map[string][]string{
		"a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}, "a, b, c and 2 more": {"a", "b", "c", "d", "e"}, "": nil,
	} {
		if got := enumerate(names); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
