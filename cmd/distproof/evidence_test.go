package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"distproof/capture"
	"distproof/evidence"
	"distproof/internal/hostile"
	"distproof/internal/mutate"
)

// evidenceOf runs verify with --evidence, and returns what it wrote and the facts of all
// bundles.
func evidenceOf(t *testing.T, code int, stdin io.Reader, args ...string) (dir string, facts []evidence.Facts, stderr string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "evidence")
	var out, errs bytes.Buffer
	if got := run(append([]string{"verify", "--evidence", dir}, args...), stdin, &out, &errs); got != code {
		t.Fatalf("exit code %d, want %d: %s", got, code, &errs)
	}
	files, err := filepath.Glob(dir + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		var f evidence.Facts
		readJSON(t, path, &f)
		facts = append(facts, f)
	}
	return dir, facts, errs.String()
}

// The program's evidence of every capture reproduces, and leaves the exit code
// as it is.
func TestEvidence(t *testing.T) {
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run([]string{"verify", path}, strings.NewReader(""), &stdout, &stderr)
			dir, facts, _ := evidenceOf(t, code, nil, path)
			want := 0
			for _, c := range documentOfFile(t, path).Connections {
				if c.Verdict != nil {
					want++
				}
			}
			if len(facts) != want {
				t.Errorf("%d bundles, want %d", len(facts), want)
			}
			for _, f := range facts {
				if !f.Recheck.Reproduces || len(f.Inputs) != 1 || len(f.Inputs[0].SHA256) != 64 {
					t.Errorf("%s: %+v, %+v", f.Connection.ID, f.Recheck, f.Inputs)
				}
				checkCommand(t, dir, f)
			}
		})
	}
}

// checkCommand runs the command that the facts recommend, and wants the verdict.
func checkCommand(t *testing.T, dir string, f evidence.Facts) {
	t.Helper()
	t.Chdir(dir)
	var stdout, stderr bytes.Buffer
	if code := run(append(f.Recheck.Command[1:], "-o", "json"), strings.NewReader(""), &stdout, &stderr); code == exitCouldNotRun {
		t.Fatalf("%q: %s", f.Recheck.Command, &stderr)
	}
	var doc struct {
		Connections []struct {
			ID      string
			Verdict *string
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for _, c := range doc.Connections {
		if c.ID == f.Recheck.Connection {
			if text(c.Verdict) != text(f.Connection.Verdict) {
				t.Errorf("%s: verdict %s, want %s", f.Connection.ID, text(c.Verdict), text(f.Connection.Verdict))
			}
			return
		}
	}
	t.Errorf("%s is not in the bundle", f.Connection.ID)
}

// Evidence comes the same from a compressed capture, from several, from
// standard input and in parts.
func TestEvidenceOfInputs(t *testing.T) {
	packets, err := mutate.ReadFile(pcapsDir + "/mixed.pcap")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(pcapsDir + "/mixed.pcap")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(data)
	z.Close()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	half := func(from int) string {
		data, err := mutate.Bytes(every(packets, 2, from), mutate.Format{PCAPNG: true})
		if err != nil {
			t.Fatal(err)
		}
		return write("half"+string(rune('0'+from)), data)
	}
	for name, args := range map[string][]string{
		"gzip": {write("packed.gz", packed.Bytes())}, "two": {half(0), half(1)}, "stdin": {"-"}, "folder": {dir + "/packed.gz"},
	} {
		t.Run(name, func(t *testing.T) {
			_, facts, _ := evidenceOf(t, exitViolated, bytes.NewReader(data), args...)
			if len(facts) != 7 {
				t.Errorf("%d bundles", len(facts))
			}
			for _, f := range facts {
				if !f.Recheck.Reproduces || len(f.Inputs) != len(args) || len(f.Inputs[len(args)-1].SHA256) != 64 {
					t.Errorf("%s: %+v", f.Connection.ID, f.Recheck)
				}
			}
		})
	}
}

// A capture that is written on, or over, between the two readings proves nothing.
func TestEvidenceOfChangingCapture(t *testing.T) {
	data, err := os.ReadFile(pcapsDir + "/mutual_tls13.pcap")
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(data)
	flipped[len(flipped)-1] ^= 1
	for name, second := range map[string][]byte{"longer": append(bytes.Clone(data), data[24:]...), "other": flipped, "shorter": data[:len(data)-100], "gone": nil} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "growing.pcap")
			if err := os.WriteFile(path, data, 0o666); err != nil {
				t.Fatal(err)
			}
			a := &app{stderr: io.Discard}
			p, err := a.newProver([]string{path}, &settings{evidence: filepath.Join(dir, "evidence")})
			if err != nil {
				t.Fatal(err)
			}
			src, err := capture.Open([]string{path}, capture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			x, err := examine(p.watch(src), analyzeOptions{Judge: true})
			src.Close()
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(path)
			if second != nil {
				if err := os.WriteFile(path, second, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			err = a.prove(p, x, analyzeOptions{}, true)
			p.close()
			if err == nil || second != nil && !strings.Contains(err.Error(), "changed while it was read") {
				t.Errorf("error %v", err)
			}
			if entries, err := filepath.Glob(dir + "/*evidence*"); err != nil || len(entries) > 0 {
				t.Errorf("left behind: %q", entries)
			}
		})
	}
}

// Secrets leave the key log only if they are asked for, and then only those that
// open the handshake.
func TestEvidenceSecrets(t *testing.T) {
	logs, err := filepath.Glob(sharedDir + "/otp*_13_*.keylog")
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range logs {
		t.Run(filepath.Base(log), func(t *testing.T) {
			path := strings.TrimSuffix(log, ".keylog") + ".pcap"
			lines, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			dir, facts, stderr := evidenceOf(t, exitHolds, nil, "--keylog", log, path)
			if len(facts) != 1 || facts[0].Recheck.Reproduces || !facts[0].Recheck.WithKeyLog || !strings.Contains(stderr, "--evidence-secrets") {
				t.Errorf("%+v, %s", facts, stderr)
			}
			wantSecrets(t, dir, string(lines))
			dir, facts, _ = evidenceOf(t, exitHolds, nil, "--keylog", log, "--evidence-secrets", path)
			if len(facts) != 1 || !facts[0].Recheck.Reproduces || !facts[0].Capture.Secrets {
				t.Errorf("%+v", facts)
			}
			wantSecrets(t, dir, string(lines), "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET")

			// A capture that has them itself hands them on no more than that.
			with := filepath.Join(t.TempDir(), "with.pcapng")
			withSecrets(t, path, with, lines)
			dir, _, _ = evidenceOf(t, exitHolds, nil, with)
			wantSecrets(t, dir, string(lines))
			dir, _, _ = evidenceOf(t, exitHolds, nil, "--evidence-secrets", with)
			wantSecrets(t, dir, string(lines), "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET")
		})
	}
}

// wantSecrets wants the secrets with these labels in the files of a folder, and
// no others of the key log.
func wantSecrets(t *testing.T, dir, log string, labels ...string) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); len(labels) > 0 && strings.HasSuffix(path, ".pcapng") && (err != nil || info.Mode().Perm() != 0o600) {
			t.Errorf("%s: mode %v (%v)", path, info.Mode(), err)
		}
		all = append(all, data...)
	}
	for line := range strings.Lines(log) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		want := false
		for _, l := range labels {
			want = want || l == fields[0]
		}
		if got := bytes.Contains(bytes.ToLower(all), []byte(strings.ToLower(fields[2]))); got != want {
			t.Errorf("%s: %t, want %t", fields[0], got, want)
		}
	}
}

// withSecrets copies a capture and puts a key log into it.
func withSecrets(t *testing.T, from, to string, log []byte) {
	t.Helper()
	packets, err := mutate.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := capture.NewWriter(&out, "", "")
	w.WriteSecrets(log)
	for _, m := range packets {
		p := capture.Packet{Data: m.Data, Length: m.Length, Time: m.Time, LinkType: m.LinkType}
		if !w.HasInterface(&p) {
			w.WriteInterface(&p, "", 0)
		}
		w.WritePacket(&p)
	}
	if err := os.WriteFile(to, out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// Hostile captures get evidence as others do: under names that stay in the
// folder, and with nothing that drives a terminal.
func TestEvidenceOfHostileCaptures(t *testing.T) {
	const drives = "\x1b\x00\r\x7f\u009b\u202e\u2066\u200b"
	bundles := 0
	for _, f := range hostile.Files() {
		t.Run(f.Name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hostile")
			if err := os.WriteFile(path, f.Data, 0o666); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			code := run([]string{"verify", "--port", "9100", path}, strings.NewReader(""), &stdout, &stderr)
			if code == exitCouldNotRun {
				return
			}
			dir, facts, text := evidenceOf(t, code, nil, "--port", "9100", path)
			if strings.ContainsAny(text, drives) {
				t.Errorf("stderr %q", text)
			}
			for _, f := range facts {
				bundles++
				if !f.Recheck.Reproduces {
					t.Errorf("%+v", f.Recheck)
				}
				data, err := os.ReadFile(filepath.Join(dir, strings.TrimSuffix(f.Capture.File, "pcapng")+"json"))
				if err != nil || bytes.ContainsAny(data, drives) {
					t.Errorf("%s: %v", f.Capture.File, err)
				}
			}
		})
	}
	if bundles == 0 {
		t.Error("no bundle: nothing was tested")
	}
}
