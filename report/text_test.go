package report

import (
	"strings"
	"testing"
)

func TestEscape(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "demo@n1.lab", "demo@n1.lab"},
		{"letters of any script", "Käse@東京", "Käse@東京"},
		{"C0", "a\x00\x1b[31m\n\r\tb", `a\x00\x1b[31m\x0a\x0d\x09b`},
		{"DEL", "a\x7f", `a\x7f`},
		{"C1 in UTF-8", "\u009b31m", `\u{9b}31m`},
		{"C1 as a byte", "\x9b31m", `\x9b31m`},
		{"not UTF-8", "\xff\xc3", `\xff\xc3`},
		{"surrogate in UTF-8", "\xed\xa0\x80", `\xed\xa0\x80`},
		{"bidi override", "\u202eabc\u2066", `\u{202e}abc\u{2066}`},
		{"zero width", "a\u200bb\ufeff", `a\u{200b}b\u{feff}`},
		{"line separator", "a\u2028b", `a\u{2028}b`},
		{"no-break space", "a\u00a0b", `a\u{a0}b`},
		{"accents stay", "e\u0301", "e\u0301"},
		{"heap of accents", "e" + strings.Repeat("\u0301", 5), "e\u0301\u0301\u0301" + `\u{301}\u{301}`},
		{"Hangul filler", "a\u3164b", `a\u{3164}b`},
		{"variation selector", "a\ufe0f", `a\u{fe0f}`},
		{"tags", "\U000e0041", `\u{e0041}`},
		{"replacement character itself", "\ufffd", "\ufffd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := escape(tt.in); got != tt.want {
				t.Errorf("escape(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"short", 12, "short"},
		{"exactly12345", 12, "exactly12345"},
		{"exactly-13-ch", 12, "exactl…13-ch"},
		{"rabbit@ip-10-0-12-34.internal", 12, "rabbit…ernal"},
		{"節点節点節点節点", 12, "節点節…節点"},
		{"a節点節点節点節点", 12, "a節点…点節点"},
	} {
		got := cut(tt.in, tt.n)
		if got != tt.want || width(got) > tt.n {
			t.Errorf("cut(%q, %d) = %q of width %d, want %q", tt.in, tt.n, got, width(got), tt.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"", 10, ""},
		{"one two", 10, "one two"},
		{"one two three", 8, "one two|three"},
		{"0123456789abc de", 5, "01234|56789|abc|de"},
		{"節点節点", 5, "節点|節点"},
	} {
		if got := strings.Join(wrap(tt.in, tt.n), "|"); got != tt.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

// Whatever is on the wire, what is shown is one printable line that fits.
func FuzzText(f *testing.F) {
	f.Add("demo@n1.lab", 12)
	f.Add("\x1b[31m\u202e\xff節点e\u0301\u0301", 13)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = minName + (n&0xff)%100
		safe := escape(s)
		for _, r := range safe {
			if !printable(r) {
				t.Errorf("escape(%q) has %U", s, r)
			}
		}
		if got := cut(safe, n); width(got) > n {
			t.Errorf("cut(%q, %d) = %q has %d columns", safe, n, got, width(got))
		}
		for _, line := range wrap(safe, n) {
			if width(line) > n {
				t.Errorf("wrap(%q, %d) has %q of %d columns", safe, n, line, width(line))
			}
		}
	})
}
