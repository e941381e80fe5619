package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"distproof/capture"
	"distproof/decode/secrets"
	"distproof/internal/plural"
	"distproof/report"
)

// A keyring is the key log of a run: what the files of --keylog hold, which may
// grow while the capture is read, and what the captures hold themselves.
type keyring struct {
	options secrets.Options
	log     *secrets.Log
	given   bool // log was there from the start
	files   []*keyLogFile
	read    time.Time // when the files were read last
	// src has the captures, and taken how many key logs of each are in the log.
	src   capture.Source
	taken []int
}

// A keyLogFile is a file of --keylog, of which offset bytes are read. One that is
// whole, such as a pipe at its end, is not read again.
type keyLogFile struct {
	path   string
	offset int64
	whole  bool
	stats  secrets.Stats
}

// How often key log files are looked at again while a capture is read: not
// within reread, at every connection, and every rereadPackets.
const (
	reread        = time.Second
	rereadPackets = 1 << 12
)

// newKeyring reads the files of --keylog. One without any secret is refused,
// unless the capture is live: then they may be still to come.
func newKeyring(paths []string, o secrets.Options, live bool) (*keyring, error) {
	k := &keyring{options: o, log: new(secrets.Log), given: len(paths) > 0}
	for _, path := range paths {
		f := &keyLogFile{path: path}
		k.files = append(k.files, f)
		if err := k.more(f, true); err != nil {
			return nil, err
		}
		if !live && f.empty() {
			return nil, usagef("a key log has lines like CLIENT_HANDSHAKE_TRAFFIC_SECRET <random> <secret>", "--keylog %s: no secret found", path)
		}
	}
	k.read = time.Now()
	return k, nil
}

// keyringOf returns a keyring of a log that was read before; nil if there is
// none.
func keyringOf(log *secrets.Log) *keyring {
	if log == nil {
		return nil
	}
	return &keyring{log: log, given: true}
}

func (f *keyLogFile) empty() bool {
	s := f.stats
	return s.Secrets+s.Duplicates+s.Withheld+s.Ignored == 0
}

// more reads what was added to a file. growing leaves a last line that is not
// ended for later.
func (k *keyring) more(f *keyLogFile, growing bool) error {
	if f.whole {
		return nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return fileError("", "--keylog", f.path, err)
	}
	defer file.Close()
	if err := f.skip(file); err != nil {
		return fileError("", "--keylog", f.path, err)
	}
	o := k.options
	o.Growing = growing && !f.whole
	stats, err := k.log.Read(file, o)
	if err != nil {
		return fileError("", "--keylog", f.path, err)
	}
	f.offset += stats.Bytes
	f.stats.Add(stats)
	return nil
}

// skip passes over what was read before. A file that has become shorter is
// another one.
func (f *keyLogFile) skip(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if f.whole = !info.Mode().IsRegular(); f.whole {
		return nil
	}
	if info.Size() < f.offset {
		f.offset = 0
	}
	_, err = file.Seek(f.offset, io.SeekStart)
	return err
}

// current returns the key log as it is by now; nil if there is none so far.
func (k *keyring) current() *secrets.Log {
	k.absorb()
	if len(k.files) > 0 && time.Since(k.read) > reread {
		k.read = time.Now()
		for _, f := range k.files {
			_ = k.more(f, true) // what is amiss shows at the end
		}
	}
	if !k.given && len(k.taken) == 0 {
		return nil
	}
	return k.log
}

// absorb takes the key logs found in the captures so far.
func (k *keyring) absorb() {
	if k.src == nil || !k.src.HasSecrets() {
		return
	}
	for i, in := range k.src.Inputs() {
		if i == len(k.taken) {
			k.taken = append(k.taken, 0)
		}
		for ; k.taken[i] < len(in.Secrets); k.taken[i]++ {
			_, _ = k.log.Read(bytes.NewReader(in.Secrets[k.taken[i]]), k.options) // bytes can be read
		}
	}
}

// finish reads what there is at the end of the capture.
func (k *keyring) finish() error {
	k.absorb()
	for _, f := range k.files {
		if err := k.more(f, false); err != nil {
			return err
		}
	}
	return nil
}

// tell says what is wrong with the files. Lines that are no part of a key log
// do no harm.
func (k *keyring) tell(w io.Writer) {
	for _, f := range k.files {
		s, path := f.stats, report.Escape(f.path)
		if f.empty() {
			fmt.Fprintf(w, "%s: no secret found\n", path)
		}
		if s.Bad > 0 {
			fmt.Fprintf(w, "%s: line %d is not of a key log: %s (%s)\n", path, s.FirstBad, s.Reason, plural.Of(s.Bad, "such line", "such lines"))
		}
		if s.Dropped > 0 {
			fmt.Fprintf(w, "%s: %s beyond the limit of %d\n", path, plural.Of(s.Dropped, "secret is", "secrets are"), secrets.MaxSecrets)
		}
	}
}
