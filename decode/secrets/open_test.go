package secrets

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// The vectors of RFC 3610, Section 8, as far as they differ in the tag's length
// and the header's.
func TestCCM(t *testing.T) {
	for _, v := range []struct {
		name               string
		key, nonce         string
		header, text, seal string
		tag                int
	}{
		{"packet vector 1", "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf", "00000003020100a0a1a2a3a4a5", "0001020304050607",
			"08090a0b0c0d0e0f101112131415161718191a1b1c1d1e", "588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0", 8},
		{"packet vector 2: whole blocks", "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf", "00000004030201a0a1a2a3a4a5", "0001020304050607",
			"08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "72c91a36e135f8cf291ca894085c87e3cc15c439c9e43a3ba091d56e10400916", 8},
		{"packet vector 12: tag of 10", "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf", "0000000e0d0c0ba0a1a2a3a4a5", "000102030405060708090a0b",
			"0c0d0e0f101112131415161718191a1b1c1d1e1f20", "c0ffa0d6f05bdb67f24d43a4338d2aa4bed7b20e43cd1aa31662e7ad65d6db", 10},
		{"packet vector 24", "d7828d13b2b0bdc325a76236df93cc6b", "008d493b30ae8b3c9696766cfa", "6e37a6ef546d955d34ab6059",
			"abf21c0b02feb88f856df4a37381bce3cc128517d4", "f32905b88a641b04b9c9ffb58cc390900f3da12ab16dce9e82efa16da62059", 10},
	} {
		t.Run(v.name, func(t *testing.T) {
			block, err := aes.NewCipher(unhex(t, v.key))
			if err != nil {
				t.Fatal(err)
			}
			c := ccm{block, v.tag}
			sealed, ad := unhex(t, v.seal), unhex(t, v.header)
			got, err := c.Open([]byte("x"), unhex(t, v.nonce), sealed, ad)
			if err != nil || string(got) != "x"+string(unhex(t, v.text)) {
				t.Fatalf("%x %v", got, err)
			}
			for _, part := range [][]byte{sealed, ad} {
				for i := range part {
					part[i] ^= 0x10
					if got, err := c.Open(nil, unhex(t, v.nonce), sealed, ad); err == nil {
						t.Errorf("byte %d: opened as %x", i, got)
					}
					part[i] ^= 0x10
				}
			}
		})
	}
}

// The vectors for the PRF of TLS 1.2 that were posted to the TLS list in
// December 2009 and that several implementations have as tests.
func TestPRF12(t *testing.T) {
	got := prf(tls12, crypto.SHA256, unhex(t, "9bbe436ba940f017b17652849a71db35"), "test label", unhex(t, "a0ba9f936cda311827a6f796ffd5198c"), 100)
	want := "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a" +
		"6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab" +
		"4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701" + "87347b66"
	if hex.EncodeToString(got) != want {
		t.Errorf("%x", got)
	}
}

// sealedRecords returns the client's records of a connection from its first
// sealed one on, the opener for them, and what they hold.
func sealedRecords(t testing.TB, suite, version uint16, pings int) (*Opener, [][]byte) {
	t.Helper()
	client := &tls.Config{MinVersion: version, MaxVersion: version, CipherSuites: []uint16{suite}}
	server := client.Clone()
	server.Certificates = []tls.Certificate{certificates()["RSA"]}
	r := handshake(t, client, server, nil)
	f, err := r.follow()
	if err != nil {
		t.Fatal(err)
	}
	var records [][]byte
	sealed := false
	for b := r.client; len(b) > 5; {
		n := 5 + int(b[3])<<8 + int(b[4])
		if sealed {
			records = append(records, b[:n])
		}
		sealed = sealed || b[0] == 20
		b = b[n:]
	}
	var o *Opener
	if version == tls.VersionTLS13 {
		o, err = NewOpener13(f.suite, f.secrets.ClientTraffic)
		records = records[1:] // Finished
	} else {
		o, err = NewOpener12(version, suite, f.secrets.Master, f.clientRandom, f.serverRandom, true, false)
	}
	if err != nil || len(records) < pings {
		t.Fatal(err, len(records))
	}
	return o, records
}

func (o *Opener) record(r []byte) (string, error) {
	_, b, err := o.Open(nil, r[0], uint16(r[1])<<8|uint16(r[2]), r[5:])
	return string(b), err
}

// A record behind a gap opens when as many were skipped as are missing.
func TestSkip(t *testing.T) {
	t.Setenv("GODEBUG", "tls10server=1")
	for _, c := range []struct {
		suite, version uint16
		gap            error // of the record behind the gap
		after          error // of the one behind that
	}{
		{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.VersionTLS12, nil, nil},
		{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.VersionTLS12, nil, nil},
		{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.VersionTLS12, nil, nil},
		{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.VersionTLS10, ErrLost, nil}, // its IV was in the gap
		{tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, tls.VersionTLS12, ErrLost, ErrLost}, // its key stream's position was
	} {
		t.Run(tls.CipherSuiteName(c.suite)+" "+tls.VersionName(c.version), func(t *testing.T) {
			o, records := sealedRecords(t, c.suite, c.version, 3)
			// The records are Finished, which is lost, ping and close_notify.
			if _, err := o.record(records[1]); !errors.Is(err, ErrTag) {
				t.Errorf("opened with another sequence number: %v", err)
			}
			if o.seq != 0 {
				t.Errorf("sequence %d after a record that did not open", o.seq)
			}
			o.Skip(0)
			o.Skip(1)
			for i, want := range []error{c.gap, c.after} {
				if _, err := o.record(records[1+i]); !errors.Is(err, want) {
					t.Errorf("%d behind the gap: %v, want %v", i, err, want)
				}
			}
			if o.seq != 3 {
				t.Errorf("sequence %d", o.seq)
			}
		})
	}
}

// A record with one other bit, in its header too, does not open, and the one as
// it was does afterwards.
func TestFlippedRecord(t *testing.T) {
	t.Setenv("GODEBUG", "tls10server=1,tlsrsakex=1,tls3des=1")
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if strings.Contains(suite.Name, "ECDSA") {
			continue
		}
		for _, version := range suite.SupportedVersions {
			o, records := sealedRecords(t, suite.ID, version, 1)
			r := records[0]
			for i := range r {
				if i == 3 || i == 4 {
					continue // the length: see below
				}
				r[i] ^= 1 << (i % 8)
				if got, err := o.record(r); !errors.Is(err, ErrTag) {
					t.Errorf("%s %x byte %d: %q %v", suite.Name, version, i, got, err)
				}
				r[i] ^= 1 << (i % 8)
			}
			for n := 5; n < len(r); n++ {
				if got, err := o.record(r[:n]); !errors.Is(err, ErrTag) {
					t.Errorf("%s %x first %d bytes: %q %v", suite.Name, version, n, got, err)
				}
			}
			if _, err := o.record(r); err != nil {
				t.Errorf("%s %x: %v", suite.Name, version, err)
			}
			if _, err := o.record(r); err == nil {
				t.Errorf("%s %x: opened twice", suite.Name, version)
			}
		}
	}
}

func TestUnpad(t *testing.T) {
	for _, c := range []struct {
		padded string
		rest   string
		ok     bool
	}{
		{"content\x00", "content", true},
		{"content\x02\x02\x02", "content", true},
		{"\x01\x01", "", true},
		{"content\x02\x01\x02", "", false}, // another byte within
		{"content\x02\x02", "", false},     // too few
		{"\x02\x02", "", false},            // longer than all there is
	} {
		if got, ok := unpad([]byte(c.padded)); string(got) != c.rest || ok != c.ok {
			t.Errorf("%q: %q %v", c.padded, got, ok)
		}
	}
}

func TestOpener13(t *testing.T) {
	secret, other := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	t.Run("padding", func(t *testing.T) {
		o, _ := NewOpener13(0x1301, secret)
		r := seal13(t, 0x1301, secret, 0, 23, []byte("text\x00"), 300)
		kind, got, err := o.Open([]byte("before "), 23, 0x0303, r[5:])
		if kind != 23 || string(got) != "before text\x00" || err != nil {
			t.Errorf("%d %q %v", kind, got, err)
		}
	})
	t.Run("nothing but padding", func(t *testing.T) {
		o, _ := NewOpener13(0x1301, secret)
		r := seal13(t, 0x1301, secret, 0, 0, nil, 300)
		if _, got, err := o.Open([]byte("before"), 23, 0x0303, r[5:]); !errors.Is(err, ErrContent) || string(got) != "before" {
			t.Errorf("%q %v", got, err)
		}
		if o.seq != 1 {
			t.Error("the record was authentic and is done")
		}
	})
	t.Run("empty", func(t *testing.T) {
		o, _ := NewOpener13(0x1303, secret)
		r := seal13(t, 0x1303, secret, 0, 23, nil, 0)
		if kind, got, err := o.Open(nil, 23, 0x0303, r[5:]); kind != 23 || len(got) != 0 || err != nil {
			t.Errorf("%d %q %v", kind, got, err)
		}
	})
	t.Run("either of two secrets", func(t *testing.T) {
		for i, with := range [][]byte{secret, other} {
			o, err := NewOpener13(0x1301, secret, other)
			if err != nil || o.which != -1 {
				t.Fatal(err)
			}
			if err := o.Next(); err == nil {
				t.Error("key update before a secret is chosen")
			}
			if _, err := o.record(seal13(t, 0x1301, bytes.Repeat([]byte{3}, 32), 0, 23, []byte("x"), 0)); !errors.Is(err, ErrTag) {
				t.Error(err)
			}
			o.Skip(2)
			if got, err := o.record(seal13(t, 0x1301, with, 2, 23, []byte("x"), 0)); got != "x" || err != nil || o.which != i || o.seq != 3 {
				t.Errorf("%q %v which %d sequence %d", got, err, o.which, o.seq)
			}
			if _, err := o.record(seal13(t, 0x1301, [][]byte{other, secret}[i], 3, 23, []byte("x"), 0)); !errors.Is(err, ErrTag) {
				t.Errorf("the other secret opened the next record: %v", err)
			}
			next, _ := nextSecret(crypto.SHA256, with)
			if err := o.Next(); err != nil {
				t.Fatal(err)
			}
			if got, err := o.record(seal13(t, 0x1301, next, 0, 23, []byte("y"), 0)); got != "y" || err != nil {
				t.Errorf("%q %v", got, err)
			}
		}
	})
	t.Run("secret of another length", func(t *testing.T) {
		if _, err := NewOpener13(0x1302, secret); err == nil {
			t.Error("no error")
		}
		if _, err := NewOpener13(0x1301); err == nil {
			t.Error("no error without a secret")
		}
	})
	t.Run("unknown suites", func(t *testing.T) {
		if _, err := NewOpener13(0xc02f, secret); !errors.Is(err, ErrUnsupported) {
			t.Error(err)
		}
		if _, err := NewOpener12(tls12, 0x1301, secret, [32]byte{}, [32]byte{}, true, false); !errors.Is(err, ErrUnsupported) {
			t.Error(err)
		}
		if _, err := NewOpener12(0x0300, 0xc02f, secret, [32]byte{}, [32]byte{}, true, false); !errors.Is(err, ErrUnsupported) {
			t.Error(err)
		}
		o, err := NewOpener12(tls12, 0xc02f, secret, [32]byte{}, [32]byte{}, true, false)
		if err != nil || !errors.Is(o.Next(), ErrUnsupported) {
			t.Error(err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	secret := bytes.Repeat([]byte{1}, 32)
	r := seal13(b, 0x1301, secret, 0, 23, make([]byte, 1<<14), 0)
	var dst []byte
	o, _ := NewOpener13(0x1301, secret)
	b.SetBytes(1 << 14)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if _, dst, err = o.Open(dst[:0], 23, 0x0303, r[5:]); err != nil {
			b.Fatal(err)
		}
		o.seq = 0
	}
}

// No bytes open that were not sealed, whatever the suite.
func FuzzOpen(f *testing.F) {
	f.Add(uint16(0x1301), uint16(0x0304), uint8(23), []byte("0123456789abcdef0123456789abcdef"), true, false)
	f.Add(uint16(0xc013), uint16(0x0301), uint8(22), make([]byte, 64), false, true)
	f.Add(uint16(0xc013), uint16(0x0303), uint8(22), make([]byte, 80), true, false)
	f.Add(uint16(0x000a), uint16(0x0301), uint8(22), make([]byte, 24), true, false)
	f.Add(uint16(0x0005), uint16(0x0303), uint8(22), make([]byte, 20), true, false)
	f.Add(uint16(0xc0ae), uint16(0x0303), uint8(22), make([]byte, 16), true, false)
	f.Fuzz(func(t *testing.T, suite, version uint16, kind uint8, body []byte, skip, etm bool) {
		secret := make([]byte, 48)
		var o *Opener
		var err error
		if version >= 0x0304 {
			if p, known := suites13[suite]; known {
				secret = secret[:p.prf.Size()]
			}
			o, err = NewOpener13(suite, secret, secret)
		} else {
			o, err = NewOpener12(version, suite, secret, [32]byte{}, [32]byte{}, true, etm)
		}
		if err != nil {
			return
		}
		if skip {
			o.Skip(1)
		}
		before := bytes.Clone(body)
		for range 2 {
			_, got, err := o.Open([]byte("x"), kind, version, body)
			if !errors.Is(err, ErrTag) && !errors.Is(err, ErrLost) || string(got) != "x" || !bytes.Equal(body, before) {
				t.Fatalf("%x %v", got, err)
			}
		}
	})
}
