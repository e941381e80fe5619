package secrets

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"
)

func keyOf(t testing.TB, name string) Key {
	t.Helper()
	k, err := CertificateKey(certificates()[name].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign signs content as crypto/tls would.
func sign(t testing.TB, name string, h crypto.Hash, pss bool, content []byte) []byte {
	t.Helper()
	var opts crypto.SignerOpts = h
	digest := content
	if h != 0 {
		digest = digestOf(h, content)
	}
	if pss {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
	}
	sig, err := certificates()[name].PrivateKey.(crypto.Signer).Sign(rand.Reader, digest, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// signed is a DigitallySigned: scheme, length, signature.
func signed(scheme Scheme, sig []byte) []byte {
	return append([]byte{byte(scheme >> 8), byte(scheme), byte(len(sig) >> 8), byte(len(sig))}, sig...)
}

// message is a handshake message.
func message(kind byte, body string) []byte {
	return append([]byte{kind, 0, 0, byte(len(body))}, body...)
}

func transcriptOf(messages ...[]byte) *Transcript {
	t := new(Transcript)
	for _, m := range messages {
		t.Add(m)
	}
	return t
}

// flips calls check with each bit of each part the other way round.
func flips(t *testing.T, check func() error, parts ...[]byte) {
	t.Helper()
	if err := check(); err != nil {
		t.Fatalf("before any flip: %v", err)
	}
	for p, part := range parts {
		for i := range part {
			for bit := range 8 {
				part[i] ^= 1 << bit
				if check() == nil {
					t.Errorf("part %d byte %d bit %d: not noticed", p, i, bit)
				}
				part[i] ^= 1 << bit
			}
		}
	}
}

func TestFlippedServerKeyExchange(t *testing.T) {
	var client, server [32]byte
	client[0], server[0] = 1, 2
	ecdhe := append([]byte{3, 0, 29, 32}, bytes.Repeat([]byte{7}, 32)...) // named_curve, x25519, point
	dhe := []byte{0, 3, 0xff, 0xff, 0xfb, 0, 1, 2, 0, 3, 1, 2, 3}         // p, g, Ys
	for _, c := range []struct {
		name, key string
		suite     uint16
		scheme    Scheme
		hash      crypto.Hash
		pss       bool
		params    []byte
	}{
		{"ECDHE ECDSA", "P-256", 0xc02b, 0x0403, crypto.SHA256, false, ecdhe},
		{"ECDHE Ed25519", "Ed25519", 0xc02b, 0x0807, 0, false, ecdhe},
		{"ECDHE PKCS1", "RSA", 0xc02f, 0x0201, crypto.SHA1, false, ecdhe},
		{"DHE PSS", "RSA", 0x009e, 0x0805, crypto.SHA384, true, dhe},
	} {
		t.Run(c.name, func(t *testing.T) {
			content := append(append(client[:], server[:]...), c.params...)
			body := append(bytes.Clone(c.params), signed(c.scheme, sign(t, c.key, c.hash, c.pss, content))...)
			key := keyOf(t, c.key)
			flips(t, func() error {
				_, err := VerifyServerKeyExchange(key, tls12, c.suite, client, server, body)
				return err
			}, body, client[:], server[:])
			for n := range body {
				if _, err := VerifyServerKeyExchange(key, tls12, c.suite, client, server, body[:n]); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
					t.Errorf("first %d bytes: %v", n, err)
				}
			}
			if _, err := VerifyServerKeyExchange(key, tls12, c.suite, client, server, append(body, 0)); !errors.Is(err, ErrMalformed) {
				t.Errorf("a byte more: %v", err)
			}
			if _, err := VerifyServerKeyExchange(keyOf(t, "P-384"), tls12, c.suite, client, server, body); !errors.Is(err, ErrSignature) {
				t.Errorf("with another key: %v", err)
			}
			if _, err := VerifyServerKeyExchange(key, tls12, c.suite, server, client, body); !errors.Is(err, ErrSignature) {
				t.Errorf("with swapped randoms: %v", err)
			}
		})
	}
}

func TestFlippedCertificateVerify(t *testing.T) {
	one, two := message(1, "hello"), message(2, "world")
	content := append(bytes.Clone(one), two...)
	t.Run("1.2", func(t *testing.T) {
		tr := transcriptOf(one, two)
		body := signed(0x0403, sign(t, "P-384", crypto.SHA256, false, content))
		key := keyOf(t, "P-384")
		flips(t, func() error {
			_, err := VerifyCertificateVerify12(key, tls12, tr, body)
			return err
		}, body, tr.messages)
		if _, err := VerifyCertificateVerify12(key, tls12, transcriptOf(two, one), body); !errors.Is(err, ErrSignature) {
			t.Errorf("messages in another order: %v", err)
		}
	})
	t.Run("1.0", func(t *testing.T) {
		tr := transcriptOf(one, two)
		body := signed(0, sign(t, "RSA", crypto.MD5SHA1, false, content))[2:]
		key := keyOf(t, "RSA")
		flips(t, func() error {
			_, err := VerifyCertificateVerify12(key, tls10, tr, body)
			return err
		}, body, tr.messages)
	})
	t.Run("1.3", func(t *testing.T) {
		tr := transcriptOf(one, two)
		sum := sha256.Sum256(content)
		body := signed(0x0403, sign(t, "P-256", crypto.SHA256, false, signedContent13(true, sum[:])))
		key := keyOf(t, "P-256")
		flips(t, func() error {
			_, err := VerifyCertificateVerify13(key, 0x1301, true, tr, body)
			return err
		}, body, tr.messages)
		if _, err := VerifyCertificateVerify13(key, 0x1301, false, tr, body); !errors.Is(err, ErrSignature) {
			t.Errorf("the client's signature as the server's: %v", err)
		}
		if _, err := VerifyCertificateVerify13(key, 0x1302, true, tr, body); !errors.Is(err, ErrSignature) {
			t.Errorf("another suite's hash: %v", err)
		}
	})
}

func TestFlippedFinished(t *testing.T) {
	tr := transcriptOf(message(1, "hello"), message(2, "world"))
	content := bytes.Clone(tr.messages)
	for _, c := range []struct {
		name    string
		version uint16
		suite   uint16
		hash    crypto.Hash
	}{
		{"1.0", tls10, 0xc013, crypto.MD5SHA1},
		{"1.1", tls11, 0xc013, crypto.MD5SHA1},
		{"1.2 SHA-1", tls12, 0xc013, crypto.SHA256},
		{"1.2 SHA-384", tls12, 0xc030, crypto.SHA384},
	} {
		t.Run(c.name, func(t *testing.T) {
			master := bytes.Repeat([]byte{9}, 48)
			body := prf(c.version, suites12[c.suite].prf, master, "client finished", digestOf(c.hash, content), 12)
			flips(t, func() error {
				return VerifyFinished12(c.version, c.suite, master, true, tr, body)
			}, body, master, tr.messages)
			for _, wrong := range [][]byte{nil, body[:11], append(bytes.Clone(body), 0)} {
				if err := VerifyFinished12(c.version, c.suite, master, true, tr, wrong); !errors.Is(err, ErrFinished) {
					t.Errorf("%x: %v", wrong, err)
				}
			}
			if err := VerifyFinished12(c.version, c.suite, master, false, tr, body); !errors.Is(err, ErrFinished) {
				t.Errorf("the client's as the server's: %v", err)
			}
		})
	}
}

// What cannot be checked is neither right nor wrong.
func TestUnsupported(t *testing.T) {
	tr := transcriptOf(message(1, "hello"))
	content := tr.messages
	sum := sha256.Sum256(content)
	pss := keyOf(t, "RSA")
	pss.pss = true
	for _, c := range []struct {
		name string
		is13 bool
		key  Key
		body []byte
		want error
	}{
		{"no key", false, Key{}, signed(0x0403, nil), ErrUnsupported},
		{"ed448", false, keyOf(t, "P-256"), signed(0x0808, nil), ErrUnsupported},
		{"ML-DSA", true, keyOf(t, "P-256"), signed(0x0905, nil), ErrUnsupported},
		{"unknown", true, keyOf(t, "P-256"), signed(0xabcd, nil), ErrUnsupported},
		{"our own number", false, keyOf(t, "RSA"), signed(rsaMD5SHA1, sign(t, "RSA", crypto.MD5SHA1, false, content)), ErrUnsupported},
		{"scheme of another key", false, keyOf(t, "RSA"), signed(0x0403, sign(t, "P-256", crypto.SHA256, false, content)), ErrSignature},
		{"RSA with an elliptic key", false, keyOf(t, "P-256"), signed(0x0401, sign(t, "RSA", crypto.SHA256, false, content)), ErrSignature},
		{"right, but PKCS1 with a key for PSS", false, pss, signed(0x0401, sign(t, "RSA", crypto.SHA256, false, content)), ErrUnsupported},
		{"right, but PKCS1 in 1.3", true, keyOf(t, "RSA"), signed(0x0401, sign(t, "RSA", crypto.SHA256, false, signedContent13(true, sum[:]))), ErrUnsupported},
		{"right, but another curve in 1.3", true, keyOf(t, "P-384"), signed(0x0403, sign(t, "P-384", crypto.SHA256, false, signedContent13(true, sum[:]))), ErrUnsupported},
		{"other salt", false, keyOf(t, "RSA"), signed(0x0804, func() []byte {
			sig, err := rsa.SignPSS(rand.Reader, certificates()["RSA"].PrivateKey.(*rsa.PrivateKey), crypto.SHA256, digestOf(crypto.SHA256, content), &rsa.PSSOptions{SaltLength: 20})
			if err != nil {
				t.Fatal(err)
			}
			return sig
		}()), ErrSignature},
		{"PKCS1 as PSS", false, keyOf(t, "RSA"), signed(0x0804, sign(t, "RSA", crypto.SHA256, false, content)), ErrSignature},
		{"signature cut short", false, keyOf(t, "RSA"), signed(0x0401, sign(t, "RSA", crypto.SHA256, false, content)[:200]), ErrSignature},
		{"empty signature", false, keyOf(t, "RSA"), signed(0x0401, nil), ErrSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := VerifyCertificateVerify12(c.key, tls12, tr, c.body)
			if c.is13 {
				_, err = VerifyCertificateVerify13(c.key, 0x1301, true, tr, c.body)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	for suite, text := range map[uint16]string{0x002f: "without a signature", 0x0034: "anonymous", 0x1234: "not supported", 0xccac: "without a signature"} {
		if _, err := VerifyServerKeyExchange(keyOf(t, "RSA"), tls12, suite, [32]byte{}, [32]byte{}, nil); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), text) {
			t.Errorf("%04x: %v", suite, err)
		}
	}
	explicit := []byte{1, 0, 0}
	if _, err := VerifyServerKeyExchange(keyOf(t, "RSA"), tls12, 0xc02f, [32]byte{}, [32]byte{}, explicit); !errors.Is(err, ErrUnsupported) {
		t.Errorf("explicit curve: %v", err)
	}
}

// Without the whole transcript nothing is checked.
func TestTranscript(t *testing.T) {
	body := signed(0x0403, sign(t, "P-256", crypto.SHA256, false, nil))
	missing := transcriptOf(message(1, "hello"))
	missing.Miss()
	missing.Add(message(2, "world"))
	long := transcriptOf(message(1, "hello"), make([]byte, MaxTranscript))
	for name, c := range map[string]struct {
		t    *Transcript
		want error
	}{
		"none": {nil, ErrUnsupported}, "empty": {new(Transcript), ErrUnsupported}, "a message missing": {missing, ErrUnsupported}, "too long": {long, ErrUnsupported},
		"cut short": {transcriptOf([]byte{1, 0, 0, 5, 'h'}), ErrMalformed}, "no header": {transcriptOf([]byte{1, 0}), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err12 := VerifyCertificateVerify12(keyOf(t, "P-256"), tls12, c.t, body)
			_, err13 := VerifyCertificateVerify13(keyOf(t, "P-256"), 0x1301, true, c.t, body)
			for _, err := range []error{err12, err13, VerifyFinished12(tls12, 0xc02f, make([]byte, 48), true, c.t, make([]byte, 12)), VerifyFinished13(0x1301, make([]byte, 32), c.t, make([]byte, 32))} {
				if !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
			}
		})
	}
	if err := new(Transcript).Retry(0x1301); !errors.Is(err, ErrUnsupported) {
		t.Errorf("retry of nothing: %v", err)
	}
	if err := transcriptOf(message(1, "a"), message(2, "b")).Retry(0x1301); !errors.Is(err, ErrUnsupported) {
		t.Errorf("retry behind the second message: %v", err)
	}
	first := transcriptOf(message(1, "a"))
	left, right := first.Clone(), first.Clone()
	left.Add(message(2, "left"))
	right.Add(message(2, "right"))
	if !bytes.HasSuffix(left.messages, []byte("left")) || !bytes.HasSuffix(right.messages, []byte("right")) || len(first.messages) != 5 {
		t.Error("clones share their messages")
	}
}

func TestCertificateKey(t *testing.T) {
	for name, cert := range certificates() {
		parsed, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		type equal interface{ Equal(crypto.PublicKey) bool }
		if k := keyOf(t, name); k.pss || !parsed.PublicKey.(equal).Equal(k.public) {
			t.Errorf("%s: %v", name, k)
		}
		der := bytes.Clone(parsed.Raw)
		for n := range 200 {
			if _, err := CertificateKey(der[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: first %d bytes: %v", name, n, err)
			}
		}
	}
	// crypto/x509 refuses a negative serial number, peers did not.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der := bytes.Clone(certify(key).Certificate[0])
	serial := bytes.Index(der, []byte{2, 1, 1, 0x30}) // INTEGER 1, then a sequence
	der[serial+2] = 0xff
	if _, err := x509.ParseCertificate(der); err == nil {
		t.Error("crypto/x509 takes a negative serial number: this test shows nothing")
	}
	if k, err := CertificateKey(der); err != nil || !key.PublicKey.Equal(k.public) {
		t.Errorf("%v", err)
	}
	if _, err := CertificateKey(nil); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	// A key of an algorithm that nobody knows.
	odd := bytes.Replace(der, mustMarshal(t, asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}), mustMarshal(t, asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 9}), 1)
	if _, err := CertificateKey(odd); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
	for name, want := range map[string]string{"tls12-ed448": "Ed448", "tls12-brainpool": "brainpoolP256r1", "tls12-dsa": "DSA"} {
		_, err := readRecording(t, name).follow()
		if err == nil || !strings.Contains(err.Error(), want+" key: not supported") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func mustMarshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzVerify(f *testing.F) {
	body := append([]byte{3, 0, 29, 1, 4}, signed(0x0403, []byte{0x30, 6, 2, 1, 1, 2, 1, 1})...)
	f.Add(certificates()["P-256"].Certificate[0], body, uint16(0xc02b), uint16(tls12))
	f.Add(certificates()["RSA"].Certificate[0], body, uint16(0xc02f), uint16(tls10))
	if text, err := os.ReadFile("../../pcaps/ca.pem"); err == nil {
		block, _ := pem.Decode(text)
		f.Add(block.Bytes, body, uint16(0x009e), uint16(tls11))
	}
	f.Fuzz(func(t *testing.T, der, body []byte, suite, version uint16) {
		k, err := CertificateKey(der)
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
			t.Fatal(err)
		}
		tr := transcriptOf(message(1, "hello"))
		_, err1 := VerifyServerKeyExchange(k, version, suite, [32]byte{}, [32]byte{}, body)
		_, err2 := VerifyCertificateVerify12(k, version, tr, body)
		_, err3 := VerifyCertificateVerify13(k, 0x1301, true, tr, body)
		for i, err := range []error{err1, err2, err3} {
			// The fuzzer holds a key only if it made up the certificate; it
			// cannot make up what goes with one of ours.
			if !errors.Is(err, ErrSignature) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("%d: %v", i, err)
			}
		}
	})
}
