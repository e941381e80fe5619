package secrets

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"distproof/internal/allocs"
)

func digitsOf(c string, bytes int) string { return strings.Repeat(c, 2*bytes) }

var (
	randomA = digitsOf("a", 32)
	randomB = digitsOf("b", 32)
)

// One good line of each label.
var fullLog = "CLIENT_RANDOM " + randomA + " " + digitsOf("1", 48) + "\n" +
	"CLIENT_HANDSHAKE_TRAFFIC_SECRET " + randomB + " " + digitsOf("2", 32) + "\n" +
	"SERVER_HANDSHAKE_TRAFFIC_SECRET " + randomB + " " + digitsOf("3", 32) + "\n" +
	"CLIENT_TRAFFIC_SECRET_0 " + randomB + " " + digitsOf("4", 48) + "\n" +
	"SERVER_TRAFFIC_SECRET_0 " + randomB + " " + digitsOf("5", 48) + "\n" +
	"CLIENT_EARLY_TRAFFIC_SECRET " + randomB + " " + digitsOf("6", 32) + "\n"

func lookup(t *testing.T, l *Log, random string) *Secrets {
	t.Helper()
	return l.Lookup([32]byte(unhex(t, random)))
}

func TestKeyLog(t *testing.T) {
	for name, text := range map[string]string{
		"as it is":        fullLog,
		"CRLF":            strings.ReplaceAll(fullLog, "\n", "\r\n"),
		"no end":          strings.TrimSpace(fullLog),
		"upper case":      strings.ToUpper(fullLog),
		"indented, tabs":  "\t" + strings.ReplaceAll(strings.ReplaceAll(fullLog, " ", "\t "), "\n", "  \n\t"),
		"byte order mark": "\ufeff" + fullLog,
		"comments":        "# SSL/TLS secrets log file\n\n" + strings.ReplaceAll(fullLog, "\n", "\n   \n#\n#CLIENT_RANDOM x\n"),
		"other labels": "RSA 0123456789abcdef " + digitsOf("9", 48) + "\nRSA Session-ID:12 Master-Key:34\n" + fullLog +
			"EXPORTER_SECRET " + randomB + " " + digitsOf("7", 32) + "\nECH_CONFIG " + randomB + " " + digitsOf("8", 40<<10) + "\n" +
			"CLIENT_TRAFFIC_SECRET_1 " + randomB + " " + digitsOf("8", 48) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text))} {
				l := new(Log)
				st, err := l.Read(r, Options{})
				if err != nil || st.Bad != 0 || st.Secrets != 6 || st.Bytes != int64(len(text)) || len(l.byRandom) != 2 {
					t.Fatalf("%s: %+v %v", how, st, err)
				}
				if (st.Ignored > 0) != (name == "other labels") || st.Ignored > 0 && st.Ignored != 5 {
					t.Errorf("%s: %d ignored", how, st.Ignored)
				}
				want := &Secrets{
					ClientHandshake: unhex(t, digitsOf("2", 32)), ServerHandshake: unhex(t, digitsOf("3", 32)),
					ClientTraffic: unhex(t, digitsOf("4", 48)), ServerTraffic: unhex(t, digitsOf("5", 48)), ClientEarly: unhex(t, digitsOf("6", 32)),
				}
				if got := lookup(t, l, randomB); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %x", how, got)
				}
				if got := lookup(t, l, randomA); !reflect.DeepEqual(got, &Secrets{Master: unhex(t, digitsOf("1", 48))}) {
					t.Errorf("%s: %x", how, got)
				}
				if l.Lookup([32]byte{1}) != nil {
					t.Error("secrets of a handshake that is not in the log")
				}
			}
		})
	}
}

func TestKeyLogBadLines(t *testing.T) {
	good := "CLIENT_RANDOM " + randomA + " " + digitsOf("1", 48)
	for bad, reason := range map[string]string{
		"hello":                              "not a line of a key log",
		"CLIENT_RANDOM":                      "the client random has not 64",
		"CLIENT_RANDOM " + randomA:           "the secret has not 96",
		good[:len(good)-1]:                   "the secret has not 96",
		good[:len(good)-2]:                   "the secret has not 96",
		good + "0":                           "the secret has not 96",
		good + " x":                          "the secret has not 96",
		strings.Replace(good, "1", "g", 1):   "the secret has not 96",
		strings.Replace(good, "a", "", 1):    "the client random has not 64",
		strings.Replace(good, " a", " x", 1): "the client random has not 64",
		strings.ReplaceAll(good, " ", ","):   "not a line of a key log",
		strings.ToLower(good):                "not a line of a key log",
		"SERVER_TRAFFIC_SECRET_0 " + randomA + " " + digitsOf("1", 33): "the secret has not 64 or 96",
		"SERVER_TRAFFIC_SECRET_0 " + randomA + " 12":                   "the secret has not 64 or 96",
		good + strings.Repeat(" ", maxLine):                            "longer than",
		"\xff\xfeC\x00L\x00I\x00":                                      "not a line of a key log", // UTF-16
	} {
		l := new(Log)
		st, err := l.Read(strings.NewReader("# one\n"+bad+"\n"+bad+"\n"+good+"\n"), Options{})
		if err != nil || st.Lines != 4 || st.Bad != 2 || st.FirstBad != 2 || !strings.Contains(st.Reason, reason) || st.Secrets != 1 {
			t.Errorf("%.80q: %+v %v", bad, st, err)
		}
		if strings.Contains(st.Reason, "1111") || strings.Contains(st.Reason, "aaaa") {
			t.Errorf("%.80q: the reason shows a secret: %s", bad, st.Reason)
		}
	}
}

func TestKeyLogHandshakeOnly(t *testing.T) {
	l := new(Log)
	st, err := l.Read(strings.NewReader(fullLog), Options{HandshakeOnly: true})
	if err != nil || st.Secrets != 2 || st.Withheld != 4 {
		t.Errorf("%+v %v", st, err)
	}
	want := &Secrets{ClientHandshake: unhex(t, digitsOf("2", 32)), ServerHandshake: unhex(t, digitsOf("3", 32))}
	if got := lookup(t, l, randomB); !reflect.DeepEqual(got, want) || lookup(t, l, randomA) != nil {
		t.Errorf("%x", got)
	}
}

func TestKeyLogConflicts(t *testing.T) {
	l := new(Log)
	var total Stats
	for _, secret := range []string{"1", "1", "2", "1"} {
		st, err := l.Read(strings.NewReader("CLIENT_RANDOM "+randomA+" "+digitsOf(secret, 48)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		total.Secrets += st.Secrets
		total.Duplicates += st.Duplicates
		total.Conflicts += st.Conflicts
	}
	if total.Secrets != 1 || total.Duplicates != 2 || total.Conflicts != 1 {
		t.Errorf("%+v", total)
	}
	if got := lookup(t, l, randomA); !bytes.Equal(got.Master, unhex(t, digitsOf("1", 48))) {
		t.Errorf("%x", got)
	}
}

func TestKeyLogLimit(t *testing.T) {
	l := &Log{limit: 4}
	st, err := l.Read(strings.NewReader(fullLog), Options{})
	if err != nil || st.Secrets != 4 || st.Dropped != 2 {
		t.Errorf("%+v %v", st, err)
	}
	if st, _ := l.Read(strings.NewReader(fullLog), Options{}); st.Duplicates != 4 || st.Dropped != 2 {
		t.Errorf("%+v", st)
	}
}

// A log that grows is read to its last whole line, wherever it was cut.
func TestKeyLogGrowing(t *testing.T) {
	whole := readLog(t, []byte(fullLog))
	for cut := range len(fullLog) {
		l := new(Log)
		first, err := l.Read(strings.NewReader(fullLog[:cut]), Options{Growing: true})
		if err != nil || first.Bad != 0 {
			t.Fatalf("%d: %+v %v", cut, first, err)
		}
		second, err := l.Read(strings.NewReader(fullLog[first.Bytes:]), Options{Growing: true})
		if err != nil || second.Bad != 0 || first.Secrets+second.Secrets != 6 || !reflect.DeepEqual(l.byRandom, whole.byRandom) {
			t.Fatalf("%d: %+v %+v %v", cut, first, second, err)
		}
	}
}

func TestKeyLogReadError(t *testing.T) {
	broken := errors.New("broken")
	l := new(Log)
	st, err := l.Read(io.MultiReader(strings.NewReader(fullLog), iotest.ErrReader(broken)), Options{})
	if !errors.Is(err, broken) || st.Secrets != 6 {
		t.Errorf("%+v %v", st, err)
	}
}

// manyLines writes n lines of key log with random secrets, without holding them.
func manyLines(n int) io.Reader {
	src := rand.NewChaCha8([32]byte{1})
	r, w := io.Pipe()
	go func() {
		b := make([]byte, 80)
		for range n {
			src.Read(b)
			fmt.Fprintf(w, "CLIENT_RANDOM %s %s\n", hex.EncodeToString(b[:32]), hex.EncodeToString(b[32:]))
		}
		w.Close()
	}()
	return r
}

func BenchmarkKeyLog(b *testing.B) {
	var text bytes.Buffer
	if _, err := io.Copy(&text, manyLines(50_000)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if st, err := new(Log).Read(bytes.NewReader(text.Bytes()), Options{}); err != nil || st.Secrets != 50_000 {
			b.Fatal(st, err)
		}
	}
}

func FuzzKeyLog(f *testing.F) {
	f.Add([]byte(fullLog), 100)
	f.Add([]byte("RSA x y\r\n#\n"+strings.Repeat("X", 200)), 3)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		whole, parts := new(Log), new(Log)
		var st Stats
		var err error
		if n := allocs.Of(func() { st, err = whole.Read(bytes.NewReader(text), Options{Growing: true}) }); n > uint64(1<<20+50*len(text)) {
			t.Fatalf("%d bytes allocated for %d", n, len(text))
		}
		if err != nil || st.Bytes > int64(len(text)) || st.Bad > st.Lines || st.Secrets > st.Lines || (st.Bad > 0) != (st.Reason != "") {
			t.Fatalf("%+v %v", st, err)
		}
		if cut < 0 || cut > len(text) {
			return
		}
		first, _ := parts.Read(iotest.OneByteReader(bytes.NewReader(text[:cut])), Options{Growing: true})
		second, _ := parts.Read(iotest.HalfReader(bytes.NewReader(text[first.Bytes:])), Options{Growing: true})
		if !reflect.DeepEqual(whole.byRandom, parts.byRandom) || first.Bytes+second.Bytes != st.Bytes {
			t.Fatalf("whole %+v, cut at %d: %+v %+v", st, cut, first, second)
		}
		for _, s := range whole.byRandom {
			if n := len(s.Master); n != 0 && n != masterLength {
				t.Fatalf("master secret of %d bytes", n)
			}
		}
		only := new(Log)
		if _, err := only.Read(bytes.NewReader(text), Options{HandshakeOnly: true}); err != nil {
			t.Fatal(err)
		}
		for _, s := range only.byRandom {
			if s.Master != nil || s.ClientTraffic != nil || s.ServerTraffic != nil || s.ClientEarly != nil {
				t.Fatalf("kept %x", s)
			}
		}
	})
}
