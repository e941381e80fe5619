package tls

import "testing"

// The fingerprints of chrome, firefox and an old client are published with their
// parts by FoxIO (JA4's technical details, its README and test captures).
func TestJA4(t *testing.T) {
	chrome := cat(3, 3, random, v8(zeros(32)),
		v16(u16s(0x5a5a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035)),
		v8(0),
		v16(
			ext(0xfafa), // GREASE
			ext(extServerName, v16(0, v16("example.org"))),
			ext(extKeyShare, v16(u16(0x3a3a), v16(0), u16(29), v16(zeros(32)))),
			ext(extSignatureAlgorithms, v16(u16s(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601))),
			ext(extSessionTicket), ext(11, v8(0)), ext(0xff01, 0),
			ext(extSupportedGroups, v16(u16s(0x3a3a, 29, 23, 24))),
			ext(27, v8(u16(2))), ext(0x4469, v16(v8("h2"))), ext(18), ext(45, v8(1)),
			ext(extALPN, v16(v8("h2"), v8("http/1.1"))),
			ext(5, 1, zeros(4)),
			ext(extSupportedVersions, v8(u16s(0x0a0a, 0x0304, 0x0303))),
			ext(extExtendedMasterSecret),
			ext(0x1a1a, 0), // GREASE
			ext(21, zeros(184)),
		))
	firefox := cat(3, 3, random, v8(zeros(32)),
		v16(u16s(0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030, 0xc00a, 0xc009, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035)),
		v8(0),
		v16(
			ext(extServerName, v16(0, v16("example.org"))), ext(extExtendedMasterSecret), ext(0xff01, 0),
			ext(extSupportedGroups, v16(u16s(29, 23, 24, 25, 256, 257))), ext(11, v8(0)), ext(extSessionTicket),
			ext(extALPN, v16(v8("h2"), v8("http/1.1"))), ext(5, 1, zeros(4)), ext(34, v16(u16s(0x0403, 0x0503, 0x0603, 0x0203))),
			ext(extKeyShare, v16(u16(29), v16(zeros(32)))), ext(extSupportedVersions, v8(u16s(0x0304, 0x0303))),
			ext(extSignatureAlgorithms, v16(u16s(0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201))),
			ext(45, v8(1)), ext(28, u16(0x4001)), ext(21, zeros(122)),
		))
	for name, r := range map[string]struct {
		body []byte
		want string
	}{
		"chrome":  {chrome, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		"firefox": {firefox, "t13d1715h2_5b57614c22b0_3d5424432f57"},
		// No list of extensions is left beside the name, nor one of suites.
		"nothing but a name": {cat(3, 1, random, v8(), v16(u16s(0x2a2a)), v8(0), v16(ext(extServerName, v16(0, v16("n2.lab"))))), "t10d000100_000000000000_000000000000"},
		"no extensions":      {cat(3, 0, random, v8(), v16(), v8(0)), "ts3i000000_000000000000_000000000000"},
	} {
		h, err := readClientHello(r.body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := h.JA4(); got != r.want {
			t.Errorf("%s: %s, want %s", name, got, r.want)
		}
	}
}

func TestJA4Parts(t *testing.T) {
	all := func(n int) (out []Suite) {
		for i := range n {
			out = append(out, Suite(i+1))
		}
		return out
	}
	supported := []uint16{extSupportedVersions}
	for name, r := range map[string]struct {
		hello ClientHello
		want  string // the first part
	}{
		"supported versions count, not the field":    {ClientHello{LegacyVersion: TLS12, Extensions: supported, Versions: []Version{TLS10, TLS11}}, "t11i000100"},
		"GREASE is no version":                       {ClientHello{LegacyVersion: TLS12, Extensions: supported, Versions: []Version{0x7a7a, TLS12}}, "t12i000100"},
		"a draft is unknown":                         {ClientHello{LegacyVersion: TLS12, Extensions: supported, Versions: []Version{0x7f1c, TLS12}}, "t00i000100"},
		"the field without supported versions":       {ClientHello{LegacyVersion: TLS11}, "t11i000000"},
		"an empty name is a name":                    {ClientHello{LegacyVersion: TLS12, Extensions: []uint16{extServerName}}, "t12d000100"},
		"more than 99 suites":                        {ClientHello{LegacyVersion: TLS12, Suites: all(120)}, "t12i990000"},
		"protocol of one letter":                     {ClientHello{LegacyVersion: TLS12, ALPN: []string{"x"}}, "t12i0000xx"},
		"the first protocol":                         {ClientHello{LegacyVersion: TLS12, ALPN: []string{"http/1.1", "h2"}}, "t12i0000h1"},
		"empty protocol":                             {ClientHello{LegacyVersion: TLS12, ALPN: []string{""}}, "t12i000000"},
		"0xAB: hexadecimal":                          {ClientHello{LegacyVersion: TLS12, ALPN: []string{"\xab"}}, "t12i0000ab"},
		"0xAB 0xCD":                                  {ClientHello{LegacyVersion: TLS12, ALPN: []string{"\xab\xcd"}}, "t12i0000ad"},
		"0x30 0xAB":                                  {ClientHello{LegacyVersion: TLS12, ALPN: []string{"0\xab"}}, "t12i00003b"},
		"0x30 0x31 0xAB 0xCD":                        {ClientHello{LegacyVersion: TLS12, ALPN: []string{"01\xab\xcd"}}, "t12i00003d"},
		"0x30 0xAB 0xCD 0x31: letters at either end": {ClientHello{LegacyVersion: TLS12, ALPN: []string{"0\xab\xcd1"}}, "t12i000001"},
	} {
		if got := r.hello.JA4()[:10]; got != r.want {
			t.Errorf("%s: %s, want %s", name, got, r.want)
		}
	}
}
