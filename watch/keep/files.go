package keep

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"distproof/capture"
)

// files are the files of a folder, of which the last one is written. All is
// written in whole blocks of pcapng: whenever the process ends, what is there can
// be read, but for a block that was being written.
type files struct {
	dir  string
	o    Options
	lock *os.File

	file *os.File // nil while nothing can be written
	path string
	w    *capture.Writer
	// block is what w wrote and the file has not yet, and size how many bytes the
	// file has.
	block   bytes.Buffer
	size    int64
	packets int
	opened  time.Time
	last    capture.Packet // without its bytes
	// lost is how many packets had been lost when the file was opened, and told
	// how many of those since then the file tells of.
	lost, told uint64
	// others are the files beside the one that is written, and othersSize their
	// bytes.
	others     int
	othersSize int64
	// retry is when to try again.
	retry time.Time
	// aged is when the age of files was looked at last.
	aged time.Time
}

// retryAfter is how long a folder in which nothing could be written is left alone.
const retryAfter = 5 * time.Second

// sectionComment stands at the beginning of each file.
const sectionComment = "Saved by a watch: the beginnings of connections between nodes, and packets around findings. Others are left out."

// openFolder makes the folder, if there is none, and locks it: of two that save
// into it, one would delete what the other writes.
func openFolder(dir string, o Options) (*files, error) {
	err := os.Mkdir(dir, 0o700)
	if err == nil && o.UID >= 0 {
		err = os.Chown(dir, o.UID, o.GID)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if info, err := lock.Stat(); err != nil || !info.IsDir() {
		lock.Close()
		return nil, cmp.Or(err, errors.New("is no folder"))
	}
	if err := lockFolder(lock); err != nil {
		lock.Close()
		return nil, err
	}
	return &files{dir: dir, o: o, lock: lock, aged: time.Now()}, nil
}

// limit is how large a file may become.
func (f *files) limit() int64 { return f.o.Size / int64(f.o.Files) }

// pattern is that of the names of files.
var pattern = regexp.MustCompile(`^distproof-\d{8}T\d{6}Z-(\d{6,})\.pcapng$`)

// A saved is a file.
type saved struct {
	path     string
	number   uint64
	size     int64
	modified time.Time
}

// list lists the files, the oldest first.
func (f *files) list() ([]saved, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	var out []saved
	for _, e := range entries {
		match := pattern.FindStringSubmatch(e.Name())
		if match == nil {
			continue
		}
		number, err := strconv.ParseUint(match[1], 10, 64)
		info, gone := e.Info()
		if err == nil && gone == nil && info.Mode().IsRegular() {
			out = append(out, saved{filepath.Join(f.dir, e.Name()), number, info.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(out, func(a, b saved) int { return cmp.Compare(a.number, b.number) })
	return out, nil
}

// next begins another file, for which old ones make room.
func (f *files) next() error {
	if err := f.finish(); err != nil {
		return err
	}
	all, err := f.list()
	if err != nil {
		return err
	}
	number := uint64(1)
	if len(all) > 0 {
		number = all[len(all)-1].number + 1
	}
	if err := f.prune(all, f.o.Files-1, f.o.Size-f.limit()); err != nil {
		return err
	}
	return f.create(number)
}

// unborn is the name of a file that does not even have its header yet.
const unborn = ".distproof-next"

// create makes a file and, once it has its header, gives it its name.
func (f *files) create(number uint64) error {
	now := time.Now()
	path := filepath.Join(f.dir, unborn)
	name := fmt.Sprintf("distproof-%s-%06d.pcapng", now.UTC().Format("20060102T150405Z"), number)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // it may be another user's
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f.block.Reset()
	w := capture.NewWriter(&f.block, f.o.Program, sectionComment)
	n, err := file.Write(f.block.Bytes())
	f.block.Reset()
	if err == nil {
		err = os.Rename(path, filepath.Join(f.dir, name))
	}
	if err != nil {
		file.Close()
		_ = os.Remove(path)
		return err
	}
	f.file, f.path, f.w, f.opened = file, filepath.Join(f.dir, name), w, now
	f.size, f.packets = int64(n), 0
	f.lost, f.told = f.lost+f.told, 0
	return nil
}

// prune deletes the oldest files until there are no more of them than given, no
// larger, and none is too old.
func (f *files) prune(all []saved, most int, size int64) error {
	sum := int64(0)
	for _, s := range all {
		sum += s.size
	}
	for _, s := range all {
		old := f.o.Age > 0 && time.Since(s.modified) > f.o.Age
		if len(all) <= most && sum <= size && !old {
			break
		}
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		all, sum = all[1:], sum-s.size
	}
	f.others, f.othersSize = len(all), sum
	return nil
}

// there is how many files there are, and how large all are together.
func (f *files) there() (number int, size int64) {
	if f.file == nil {
		return f.others, f.othersSize
	}
	return f.others + 1, f.othersSize + f.size
}

// parts is into how many files what is kept for a time is spread at least: that
// much more is kept.
const parts = 8

// due is when the age of files has to be looked at again; false if never.
func (f *files) due() (time.Duration, bool) {
	return max(time.Until(f.aged.Add(max(f.o.Age/parts, time.Second))), 0), f.o.Age > 0
}

// age deletes files that are too old, and ends the one that is written before it
// has packets of very different age.
func (f *files) age() error {
	f.aged = time.Now()
	if f.file != nil && f.packets > 0 && time.Since(f.opened) >= f.o.Age/parts {
		return f.next()
	}
	all, err := f.list()
	if err != nil || len(all) == 0 {
		return err
	}
	if f.file != nil {
		all = all[:len(all)-1]
	}
	return f.prune(all, len(all), f.o.Size)
}

// errPaused is the error of what was not even tried.
var errPaused = errors.New("nothing could be written a moment ago")

// write writes an item. After an error the file is closed as it was before, and
// nothing is tried for some time.
func (f *files) write(i *item) error {
	if f.file == nil && time.Now().Before(f.retry) {
		return errPaused
	}
	err := f.tryWrite(i)
	if err != nil {
		f.pause()
	}
	return err
}

func (f *files) tryWrite(i *item) error {
	if f.file == nil || f.packets > 0 && f.size+i.mostBytes() > f.limit() {
		if err := f.next(); err != nil {
			return err
		}
	}
	var p capture.Packet
	notes := i.notes
	for at := 0; at < len(i.records); {
		size := readRecord(i.records[at:], &p)
		if !f.w.HasInterface(&p) {
			const snaplen = 0 // all of each packet
			if err := f.w.WriteInterface(&p, "", snaplen); err != nil {
				return err
			}
		}
		var texts []string
		if len(notes) > 0 && notes[0].at == at {
			texts, notes = notes[0].texts, notes[1:]
		}
		if err := f.w.WritePacket(&p, texts...); err != nil {
			return err
		}
		at += size
	}
	if err := f.flush(); err != nil {
		return err
	}
	f.packets += i.packets
	f.last = p
	f.last.Data = nil
	return nil
}

// mostBytes bounds what an item takes in a file. A record's header is not smaller
// than what a block has around a packet, but for a few bytes.
func (i *item) mostBytes() int64 {
	const block, option, descriptions = 16, 12, 1 << 10
	n := len(i.records) + block*i.packets + descriptions
	for _, note := range i.notes {
		for _, text := range note.texts {
			n += len(text) + option
		}
	}
	return int64(n)
}

// flush brings the blocks to the file.
func (f *files) flush() error {
	n, err := f.file.Write(f.block.Bytes())
	if err != nil {
		return err
	}
	f.size += int64(n)
	f.block.Reset()
	return nil
}

// losses says in the file how many packets were lost since it was begun, if the
// sum since the start is another one than before.
func (f *files) losses(sum uint64) error {
	if f.file == nil || f.packets == 0 || sum <= f.lost+f.told {
		return nil
	}
	err := f.w.WriteStatistics(&f.last, sum-f.lost, "packets were lost: not all that was to be saved is here")
	if err == nil {
		err = f.flush()
	}
	if err != nil {
		f.pause()
		return err
	}
	f.told = sum - f.lost
	return nil
}

// pause closes the file without what could not be written.
func (f *files) pause() {
	f.retry = time.Now().Add(cmp.Or(f.o.testOnlyRetry, retryAfter))
	if f.file == nil {
		return
	}
	_ = f.file.Truncate(f.size)
	f.file.Close()
	if f.packets == 0 {
		_ = os.Remove(f.path)
	} else {
		f.others, f.othersSize = f.there()
	}
	f.file = nil
}

// finish ends the file that is written; one without packets is deleted.
func (f *files) finish() error {
	if f.file == nil {
		return nil
	}
	err := cmp.Or(f.file.Sync(), f.file.Close())
	f.file = nil
	if f.packets == 0 {
		return cmp.Or(err, os.Remove(f.path))
	}
	return err
}

func (f *files) close() error { return cmp.Or(f.finish(), f.lock.Close()) }
