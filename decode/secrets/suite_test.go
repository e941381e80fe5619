package secrets_test

import (
	"strings"
	"testing"

	"distproof/decode/secrets"
	"distproof/decode/tls"
)

// The registered name of a suite says what the table must have.
func describe(name string) (protection, exchange string) {
	has := func(part string) bool { return strings.Contains(name, part) }
	switch {
	case has("RC4"):
		protection = "RC4"
	case has("3DES"):
		protection = "3DES_EDE_CBC"
	case has("AES") && has("CBC"):
		protection = "AES_CBC"
	case has("AES") && has("GCM"):
		protection = "AES_GCM"
	case has("AES") && has("CCM"):
		protection = "AES_CCM"
	case has("CHACHA20"):
		protection = "CHACHA20_POLY1305"
	}
	if has("_128") {
		protection += " 128"
	}
	if has("CCM_8") {
		protection += " 8"
	}
	hash, mac := "SHA-256", "SHA-256"
	switch {
	case strings.HasSuffix(name, "SHA384"):
		hash, mac = "SHA-384", "SHA-384"
	case strings.HasSuffix(name, "SHA"):
		mac = "SHA-1"
	}
	if has("CBC") || has("RC4") {
		protection += " HMAC " + mac
	}
	switch {
	case has("anon"):
		exchange = "anonymous"
	case has("TLS_ECDHE_") && !has("PSK"):
		exchange = "ECDHE"
	case has("TLS_DHE_") && !has("PSK"):
		exchange = "DHE"
	default:
		exchange = "unsigned"
	}
	return protection + " PRF " + hash, exchange
}

func TestSuites(t *testing.T) {
	checked := 0
	for id := range 1 << 16 {
		name := tls.Suite(id).String()
		got, exchange, known := secrets.Describe(uint16(id))
		named := !strings.Contains(name, "UNKNOWN") && name != ""
		if named && !known {
			for _, no := range []string{"NULL", "MD5", "_DES_", "IDEA", "CAMELLIA", "SEED", "ARIA", "SHA256_SHA256", "SHA384_SHA384"} {
				named = named && !strings.Contains(name, no)
			}
			if named {
				t.Errorf("%s is not in the table", name)
			}
		}
		if !named || !known {
			continue
		}
		checked++
		if want, kx := describe(name); got != want || exchange != kx {
			t.Errorf("%s: %s, %s", name, got, exchange)
		}
	}
	if checked < 90 {
		t.Errorf("only %d suites have a name", checked)
	}
}
