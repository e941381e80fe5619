package secrets

// Describe says what the table has of a suite, in the words of its name.
func Describe(id uint16) (protection, exchange string, known bool) {
	s, known := suites12[id]
	p := s.protection
	if !known {
		if p, known = suites13[id]; !known {
			return "", "", false
		}
	}
	name := map[cipherKind]string{rc4HMAC: "RC4", desCBC: "3DES_EDE_CBC", aesCBC: "AES_CBC", aesGCM: "AES_GCM", aesCCM: "AES_CCM", chacha20: "CHACHA20_POLY1305"}[p.kind]
	if p.key == 16 {
		name += " 128"
	}
	if p.tag == 8 {
		name += " 8"
	}
	if p.mac != 0 {
		name += " HMAC " + p.mac.String()
	}
	return name + " PRF " + p.prf.String(), [...]string{"unsigned", "ECDHE", "DHE", "anonymous"}[s.kx], true
}
