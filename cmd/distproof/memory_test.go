package main

import "testing"

func TestMemoryFlag(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "134217728": 128 << 20, "512M": 512 << 20, "2G": 2 << 30, "2GiB": 2 << 30, "2gb": 2 << 30, "1T": 1 << 40} {
		var m memory
		if err := m.Set(text); err != nil || int64(m) != want {
			t.Errorf("%s: %d (%v), want %d", text, m, err, want)
		}
	}
	for _, text := range []string{"", "G", "1X", "-1G", "1.5G", "127M", "5000000000000G", "9223372036854775807T"} {
		var m memory
		if err := m.Set(text); err == nil {
			t.Errorf("%q is %d", text, m)
		}
	}
}
