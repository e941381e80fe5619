package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distproof/capture"
	"distproof/report"
)

// A command that failed is a failed run, whatever was captured, and the last
// line still tells it.
func TestConcludeRecord(t *testing.T) {
	failure := errors.New("exit status 7")
	tests := []struct {
		conclusion string
		failure    error
		flags      settings
		code       int
		words      string
	}{
		{"pass", nil, settings{}, 0, "exit code 0: the policy holds: because"},
		{"fail", nil, settings{}, 1, "exit code 1: the policy is violated: because"},
		{"inconclusive", nil, settings{}, 3, "exit code 3: not proven: because"},
		{"pass", failure, settings{}, 2, "exit code 2: the command failed: exit status 7; while it ran: the policy holds: because"},
		{"fail", failure, settings{}, 2, "exit code 2: the command failed: exit status 7; while it ran: the policy is violated: because"},
		{"inconclusive", failure, settings{}, 2, "exit code 2: the command failed: exit status 7; while it ran: not proven: because"},
		{"pass", failure, settings{exitZero: true}, 2, "exit code 2: the command failed"},
		{"fail", failure, settings{exitZero: true}, 2, "the policy is violated"},
		{"inconclusive", failure, settings{allowInconclusive: true}, 2, "the command failed"},
		{"fail", nil, settings{exitZero: true}, 0, "without --exit-zero the code is 1"},
		{"inconclusive", nil, settings{allowInconclusive: true}, 0, "not proven"},
	}
	for _, tt := range tests {
		var a app
		err := a.concludeRecord(&report.Document{Conclusion: tt.conclusion, Reason: "because"}, &tt.flags, tt.failure)
		if err != nil || a.code != tt.code || !strings.Contains(a.reason, tt.words) {
			t.Errorf("%s, %v, %+v: code %d, %q, %v", tt.conclusion, tt.failure, tt.flags, a.code, a.reason, err)
		}
	}
	// Every combination: a failure outweighs all else.
	codes := map[string]int{"pass": 0, "fail": 1, "inconclusive": 3}
	for conclusion, code := range codes {
		for flags := range 4 {
			s := settings{exitZero: flags&1 != 0, allowInconclusive: flags&2 != 0}
			want := code
			if s.exitZero || s.allowInconclusive && code == 3 {
				want = 0
			}
			for _, failure := range []error{nil, failure} {
				if failure != nil {
					want = 2
				}
				var a app
				err := a.concludeRecord(&report.Document{Conclusion: conclusion}, &s, failure)
				if err != nil || a.code != want {
					t.Errorf("%s, %v, %+v: code %d, want %d, %v", conclusion, failure, s, a.code, want, err)
				}
			}
		}
	}
	var a app
	err := a.concludeRecord(&report.Document{Conclusion: "pass"}, &settings{quiet: true}, failure)
	if err == nil || err.Error() != "the command failed: exit status 7" {
		t.Errorf("quietly: %v", err)
	}
}

// A listed source has packets, and then an input that describes them.
type listed struct {
	packets []capture.Packet
	input   capture.Input
}

func (l *listed) Next(p *capture.Packet) error {
	if len(l.packets) == 0 {
		return io.EOF
	}
	*p, l.packets = l.packets[0], l.packets[1:]
	return nil
}
func (l *listed) Inputs() []capture.Input { return []capture.Input{l.input} }
func (l *listed) HasSecrets() bool        { return false }
func (l *listed) Close() error            { return nil }

func TestSave(t *testing.T) {
	packets := []capture.Packet{
		{Data: []byte("one"), Length: 3, Time: 1_800_000_000_000_000_001, LinkType: 1, Frame: capture.Frame{Number: 1}},
		{Data: []byte("three"), Length: 5, Time: 1_800_000_000_000_000_002, LinkType: 1, Frame: capture.Frame{Number: 2}},
	}
	tests := []struct {
		name    string
		packets []capture.Packet
		input   capture.Input
		dropped uint64
	}{
		{"packets", packets, capture.Input{Path: "lo"}, 0},
		{"packets lost", packets, capture.Input{Path: "lo", Dropped: 7}, 7},
		{"no packet", nil, capture.Input{Path: "lo"}, 0},
		{"none, and some lost", nil, capture.Input{Path: "lo", Dropped: 7}, 7},
		{"the interface went away", packets, capture.Input{Path: "lo", Damage: &capture.Damage{Reason: "away"}}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "saved.pcapng")
			s, err := newSaver(&listed{tt.packets, tt.input}, path)
			if err != nil {
				t.Fatal(err)
			}
			defer s.cleanup()
			var p capture.Packet
			for s.Next(&p) == nil {
			}
			if in := s.Inputs()[0]; in.Path != path || in.Format != "pcapng" {
				t.Errorf("%+v", in)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("the file is there before it is complete")
			}
			if err := s.finish(); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			src, err := capture.Open([]string{path}, capture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			for _, want := range tt.packets {
				if err := src.Next(&p); err != nil || !bytes.Equal(p.Data, want.Data) || p.Time != want.Time || p.Frame != want.Frame {
					t.Errorf("%+v, %v", p, err)
				}
			}
			if err := src.Next(&p); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			if in := src.Inputs()[0]; in.Dropped != tt.dropped || in.Damage != nil {
				t.Errorf("%+v", in)
			}
		})
	}
}

// What cannot be saved is still read to its end, and no file stays.
func TestSaveFails(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full")
	}
	large := capture.Packet{Data: make([]byte, 200<<10), Length: 200 << 10, LinkType: 1}
	src := &listed{packets: make([]capture.Packet, 20), input: capture.Input{Path: "lo", Format: "live"}}
	for i := range src.packets {
		src.packets[i] = large
	}
	s, err := newSaver(src, "/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	defer s.cleanup()
	var p capture.Packet
	n := 0
	for ; s.Next(&p) == nil; n++ {
	}
	if in := s.Inputs()[0]; n != 20 || in.Path != "lo" || in.Format != "live" {
		t.Errorf("%d packets, %+v", n, in)
	}
	if err := s.finish(); err == nil || !strings.Contains(err.Error(), "not saved: cannot write /dev/full: no space left") {
		t.Error(err)
	}

	dir := t.TempDir()
	s, err = newSaver(&listed{}, filepath.Join(dir, "unfinished"))
	if err != nil {
		t.Fatal(err)
	}
	s.cleanup()
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
	if _, err := newSaver(&listed{}, filepath.Join(dir, "no", "folder")); err == nil {
		t.Error("no error for a folder that is not there")
	}
	if _, err := newSaver(&listed{}, dir); err == nil {
		t.Error("no error for a folder")
	}
}

func TestSettle(t *testing.T) {
	const quiet = 40 * time.Millisecond
	p := &pulse{heartbeat: newHeartbeat()}
	began := time.Now()
	if !p.settle(quiet, nil) || time.Since(began) < quiet {
		t.Errorf("without packets: after %v", time.Since(began))
	}
	if !p.settle(0, nil) {
		t.Error("no wait is as good as quiet")
	}
	// Packets that never end: the last one is always yet to come.
	p.last.Store(int64(time.Hour))
	began = time.Now()
	if p.settle(quiet, nil) || time.Since(began) < 5*quiet {
		t.Errorf("quiet after %v, though packets come", time.Since(began))
	}
	signals := make(chan os.Signal, 1)
	signals <- os.Interrupt
	if !p.settle(time.Hour, signals) {
		t.Error("an interrupt is to end the waiting")
	}
}

func TestMegabytes(t *testing.T) {
	for _, text := range []string{"", "1", "0", "-5", "2049", "1e3", "5 ", "x", "99999999999999999999"} {
		var m megabytes
		if err := m.Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	var m megabytes
	if err := m.Set("64"); err != nil || m.bytes() != 64<<20 || m.String() != "64" {
		t.Errorf("%v, %v", m, err)
	}
}
