package tls

import "testing"

// The third is an OTP 25 node's; what is hashed, and the hashes of those two,
// are as tshark shows them. The first is the example of JA3's authors
// (salesforce/ja3, README).
func TestJA3(t *testing.T) {
	for name, r := range map[string]struct {
		body       []byte
		want, hash string
	}{
		"example": {
			cat(3, 1, random, v8(), v16(u16s(47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4)), v8(0),
				v16(ext(0, v16(0, v16("a"))), ext(10, v16(u16s(23, 24, 25))), ext(11, v8(0)))),
			"769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0", "ada70206e40642a3e4461f35503241d5",
		},
		"example without extensions": {
			cat(3, 1, random, v8(), v16(u16s(4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99)), v8(0)),
			"769,4-5-10-9-100-98-3-6-19-18-99,,,", "de350869b8c85de67a350c8d186f11e6",
		},
		"OTP 25, TLS 1.3": {
			cat(3, 3, random, v8(zeros(32)), v16(u16s(255, 4866, 4865, 4867, 4868, 4869)), v8(0),
				v16(ext(0, v16(0, v16("n2.lab"))), ext(13, v16(u16s(0x0403))), ext(51, v16()), ext(10, v16(u16s(29, 30, 23, 24))), ext(11, v8(0)), ext(43, v8(u16s(0x0304))))),
			"771,255-4866-4865-4867-4868-4869,0-13-51-10-11-43,29-30-23-24,0", "a5e7654064035dfffd8bbe94e6e5f92f",
		},
		"GREASE is left out": { // RFC 8701: as suite, extension and group
			cat(3, 3, random, v8(), v16(u16s(0x2a2a, 0x1301)), v8(0), v16(ext(0xfafa), ext(10, v16(u16s(0x3a3a, 29))), ext(11, v8(0, 1, 2)))),
			"771,4865,10-11,29,0-1-2", "",
		},
		"malformed point formats": { // the length says three, there are two
			cat(3, 3, random, v8(), v16(u16s(0x1301)), v8(0), v16(ext(11, 3, 0, 1))),
			"771,4865,11,,", "",
		},
	} {
		h, err := readClientHello(r.body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := h.ja3(); got != r.want {
			t.Errorf("%s: %s, want %s", name, got, r.want)
		}
		if got := h.JA3(); r.hash != "" && got != r.hash {
			t.Errorf("%s: hash %s, want %s", name, got, r.hash)
		}
	}
}

// A hello outlives the buffer that it was read from.
func TestPointFormatsAreCopied(t *testing.T) {
	body := cat(3, 3, random, v8(), v16(u16s(0x1301)), v8(0), v16(ext(11, v8(0, 1))))
	h, err := readClientHello(body)
	if err != nil {
		t.Fatal(err)
	}
	clear(body)
	if h.PointFormats[1] != 1 {
		t.Error("the point formats are those of the buffer")
	}
}
