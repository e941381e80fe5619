package term

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func atom(s string) []byte     { return cat(119, len(s), s) }
func bin(s string) []byte      { return cat(109, u32(len(s)), s) }
func str(s string) []byte      { return cat(107, u16(len(s)), s) }
func tuple(e ...[]byte) []byte { return cat(104, len(e), join(e)) }
func list(e ...[]byte) []byte  { return cat(108, u32(len(e)), join(e), 106) }
func object(e ...[]byte) []byte {
	return cat(116, u32(len(e)/2), join(e))
}

func join(e [][]byte) []byte {
	var b []byte
	for _, x := range e {
		b = append(b, x...)
	}
	return b
}

// ints is a list of the characters of s, one by one.
func ints(s string) []byte {
	var e [][]byte
	for _, r := range s {
		e = append(e, cat(98, u32(int(r))))
	}
	return list(e...)
}

// TestSecrets prints terms with secrets in them, each of which has "hunter2" in
// it or is random.
func TestSecrets(t *testing.T) {
	const (
		hex    = "6f1e2b0a9c4d8e7f6a5b4c3d2e1f0a9b"
		base64 = "3q2+7wAAAKsT0x9Zk1LmQ4vB8w=="
		cookie = "QWJXKHDPLVZMNRTYUEWA"
		uuid   = "0b8ef0f4-3a3c-4c62-9f46-0d3b9f7c1a52"
		jwt    = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
	)
	for _, x := range []struct {
		name string
		b    []byte
		want string
	}{
		{"pair", tuple(atom("password"), bin("hunter2")), `{password,<<"…">>}`},
		{"pair with text as key", tuple(bin("db_password"), bin("hunter2")), `{<<"db_password">>,<<"…">>}`},
		{"pair with a list of characters as key", tuple(ints("Password"), bin("hunter2")), `{"Password",<<"…">>}`},
		{"tuple with more", tuple(atom("credentials"), bin("user"), bin("hunter2")), `{credentials,<<"…">>}`},
		{"property list", list(tuple(atom("user"), bin("bob")), tuple(atom("auth_token"), bin("hunter2")), atom("x")), `[{user,<<"bob">>},{auth_token,<<"…">>},x]`},
		{"map", object(atom("secret_x"), bin("hunter2"), atom("b"), cat(97, 1)), `#{secret_x => <<"…">>,b => 1}`},
		{"map with a term as value", object(atom("api_key"), tuple(bin("hunter2"))), `#{api_key => <<"…">>}`},
		{"map in a map", object(atom("db"), object(atom("PassWord"), bin("hunter2"))), `#{db => #{'PassWord' => <<"…">>}}`},
		{"arguments", list(atom("erlang"), atom("set_cookie"), list(atom("a@h"), atom("hunter2"))), `[erlang,set_cookie,<<"…">>]`},
		{"behind a flag", list(str("-setcookie"), str("hunter2")), `["-setcookie",<<"…">>]`},
		{"tail", cat(108, u32(1), atom("token"), bin("hunter2")), `[token|<<"…">>]`},
		{"record", cat(67, u32(2), 0, atom("m"), atom("r"), atom("key"), atom("b"), bin("hunter2"), cat(97, 1)), `#m:r{key = <<"…">>,b = 1}`},
		{"atom that was not seen as key", tuple(cat(82, 1), bin("hunter2")), `{?,<<"…">>}`},
		{"record's field that was not seen", cat(67, u32(1), 0, atom("m"), atom("r"), 82, 1, bin("hunter2")), `#m:r{? = <<"…">>}`},
		{"assignment in a text", bin("user=bob password=hunter2"), hidden},
		{"JSON", bin(`{"token":"hunter2"}`), hidden},
		{"URL", str("amqp://bob:hunter2@host/"), hidden},
		{"header", tuple(str("Authorization"), str("Basic hunter2")), `{"Authorization",<<"…">>}`},
		{"hex", bin(hex), hidden},
		{"hex as string", str(hex), hidden},
		{"hex as characters", ints(hex), hidden},
		{"hex as atom", atom(hex), hidden},
		{"hex in a text", bin("id " + hex), hidden},
		{"base64", bin(base64), hidden},
		{"cookie", atom(cookie), hidden},
		{"UUID", bin(uuid), hidden},
		{"lower case and digits", bin("k3j9x0q2m5n8b1v7c4z6"), hidden},
		{"upper and lower case", bin("QwErTyUiOpAsDfGhJkLz"), hidden},
		{"a word that names a secret, and too much for a name", atom("the_secret_" + strings.Repeat("word_", 8)), hidden},
		{"map with such words as values", object(atom("a"), atom("token"), atom("b"), cat(97, 1)), `#{a => token,b => 1}`},
		{"map with more behind a secret", object(atom("a"), atom("b"), atom("token"), atom("x"), atom("c"), atom("d")), `#{a => b,token => <<"…">>,c => d}`},
		{"characters that are too many for a key", tuple(ints("password "+strings.Repeat("x ", 40)), bin("hunter2")), `{[…],<<"…">>}`},
		{"JWT", bin(jwt), hidden},
		{"bytes", bin("\x01\x80\xfe\xff\x00\x10\x99\x88"), "<<_:64>>"},
		{"bytes as characters", str("\x01\x80\xfe\xff\x00\x10\x99\x88\x11"), "[…]"},
		{"bytes one by one", ints("\u0001\u0080\u00fe\u00ff\u0000\u0010\u0099\u0088\u0011"), "[…]"},
		{"a long list of characters", ints("hunter2 " + strings.Repeat("x ", 40)), "[…]"},
	} {
		text, whole := Print(x.b, cached, 1000, false)
		if text != x.want {
			t.Errorf("%s: %s, want %s", x.name, text, x.want)
		}
		if whole && strings.Contains(x.want, "…") {
			t.Errorf("%s: passes for whole", x.name)
		}
	}
}

// TestNotSecret prints what is none.
func TestNotSecret(t *testing.T) {
	for _, s := range []string{
		"ssl_dist_connection_sup", "rabbit_mgmt_metrics_collector_proxy", "Elixir.DynamicSupervisor", "Elixir.MyApp.Repo",
		"Elixir.Cowboy2HandlerAdapter", "handle_info_timeout_2024", "x86_64-pc-linux-gnu", "DIST_HDR_ATOM_CACHE", "demo@n1.lab.example.org",
		"mnesia_locker", "a plain sentence, with some words in it", "25.3.2.8", "application_controller",
	} {
		if text, whole := Print(bin(s), nil, 1000, false); text != `<<"`+s+`">>` || !whole {
			t.Errorf("%s is printed as %s", s, text)
		}
	}
}

func TestLimits(t *testing.T) {
	long := bin(strings.Repeat("word ", 100))
	text, whole := Print(long, nil, 1000, false)
	if want := `<<"` + strings.Repeat("word ", 40) + `…">>`; text != want || whole {
		t.Errorf("printed %s, want %s", text, want)
	}
	many := list(bin("é é é é"), long, long, long, long, long)
	for limit := range 600 {
		text, whole := Print(many, nil, limit, false)
		if whole || len(text) > max(limit, len(ellipsis)) || !utf8.ValidString(text) || !strings.HasSuffix(text, ellipsis) {
			t.Errorf("at most %d bytes: %q, whole %v", limit, text, whole)
		}
	}
}

// FuzzTerm walks and prints anything.
func FuzzTerm(f *testing.F) {
	for _, x := range terms {
		f.Add(x.b)
	}
	f.Add(cat(strings.Repeat("\x6c\x00\x00\x00\x01\x68\x02", 30), bin("x")))
	f.Add(object(atom("api_key"), tuple(bin("x"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := NewCursor(b, cached)
		ok := c.Skip(1)
		if ok != (c.State() == OK) || !ok && c.Len() != 0 {
			t.Errorf("%v, %v, %d bytes left", ok, c.State(), c.Len())
		}
		const limit = 300
		text, whole := Print(b, cached, limit, false)
		if whole && !ok {
			t.Errorf("%q passes for all of a term that is not", text)
		}
		if len(text) > limit || !utf8.ValidString(text) {
			t.Errorf("%d bytes of text: %q", len(text), text)
		}
		for _, r := range text {
			if !unicode.IsGraphic(r) {
				t.Errorf("%q is not escaped", r)
			}
		}
	})
}
