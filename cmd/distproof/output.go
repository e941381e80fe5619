package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"distproof/internal/typo"
	"distproof/report"
	"distproof/verify/policy"
)

// An output is a format and where it goes; an empty path is stdout.
type output struct{ format, path string }

type outputs []output

// parseOutputs reads the values of -o. At most one may go to stdout.
func parseOutputs(values []string) (outputs, error) { return parseOutputsIn(values, report.Formats()) }

// parseOutputsIn is parseOutputs for what has other formats.
func parseOutputsIn(values, formats []string) (outputs, error) {
	if len(values) == 0 {
		return outputs{{format: "table"}}, nil
	}
	var outs outputs
	for _, v := range values {
		format, path, toFile := strings.Cut(v, "=")
		if !slices.Contains(formats, format) {
			hint := "the formats are " + strings.Join(formats, ", ")
			if near := typo.Nearest(format, formats); near != "" {
				hint = "did you mean -o " + near + "?\n" + hint
			}
			return nil, usagef(hint, "-o %s: unknown format %q", v, format)
		}
		if toFile && path == "" {
			return nil, usagef(fmt.Sprintf("-o %s=FILE, or -o %s for standard output", format, format), "-o %s: the file name is missing", v)
		}
		if path != "" {
			path = filepath.Clean(path)
		}
		for _, other := range outs {
			if other.path == path || sameFile(other.path, path) {
				return nil, usagef("give all but one a file: -o FORMAT=FILE", "-o %s and -o %s go to the same place", other.format, format)
			}
		}
		outs = append(outs, output{format, path})
	}
	return outs, nil
}

// sameFile reports whether two paths lead to one file, which need not be there
// yet.
func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	if err1 != nil && err2 != nil && filepath.Base(a) == filepath.Base(b) {
		x, err1 = os.Stat(filepath.Dir(a))
		y, err2 = os.Stat(filepath.Dir(b))
	}
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// refuseUnjudged fails if a format is about findings and none are looked for:
// a pipeline would take the empty report for a clean one.
func (outs outputs) refuseUnjudged() error {
	for _, out := range outs {
		if report.NeedsConclusion(out.format) {
			return usagef("distproof verify has them", "-o %s shows findings, and inspect has none", out.format)
		}
	}
	return nil
}

// oneByOne reports whether no output needs all connections at once.
func (outs outputs) oneByOne() bool {
	return !slices.ContainsFunc(outs, func(out output) bool { return !report.OneByOne(out.format) })
}

// A reading is a file that a run reads, and what it is to the user.
type reading struct {
	what string
	file fs.FileInfo // nil if there is none
}

// readingsOf are those of files, of those in folders, and of standard input (-).
func (a *app) readingsOf(what string, paths ...string) []reading {
	var out []reading
	for _, path := range paths {
		if path == "-" {
			out = append(out, reading{what, a.stdinFile()})
			continue
		}
		files, err := regularFiles(path)
		if err != nil {
			files = []string{path}
		}
		for _, file := range files {
			info, _ := os.Stat(file) // what cannot be read is an error where it is read
			out = append(out, reading{what, info})
		}
	}
	return out
}

// stdinFile is nil if standard input is no file.
func (a *app) stdinFile() fs.FileInfo {
	file, ok := a.stdin.(*os.File)
	if !ok {
		return nil
	}
	info, _ := file.Stat()
	return info
}

// readings are the files that verify, record and inspect read besides captures.
func (a *app) readings(s *settings, o analyzeOptions) []reading {
	out := a.readingsOf("a key log", s.keyLogs...)
	if s.baseline != "" {
		out = append(out, a.readingsOf("the baseline", s.baseline)...)
	}
	for _, f := range policyFiles(o.Policy) {
		out = append(out, a.readingsOf(f.what, f.path)...)
	}
	return out
}

// A policyFile is a file or folder that a policy is made of, and what it is to the
// user.
type policyFile struct{ what, path string }

// policyFiles are those of a policy; nil has none.
func policyFiles(f *policy.File) []policyFile {
	if f == nil {
		return nil
	}
	var out []policyFile
	if name := f.Options.Policy.Name; name != "" && !strings.HasPrefix(name, builtinPrefix) {
		out = append(out, policyFile{"the policy", name})
	}
	for _, ref := range f.CAs {
		out = append(out, policyFile{"a CA certificate", ref.Path})
	}
	for _, ref := range f.Cookies {
		out = append(out, policyFile{"a list of cookies", ref.Path})
	}
	return out
}

// refuse fails if an output would replace what is read, or cannot be written
// because its folder is not there: better now than after an hour.
func (outs outputs) refuse(inputs []reading) error {
	for _, out := range outs {
		if out.path == "" {
			continue
		}
		if err := refuseTarget(fmt.Sprintf("-o %s=%s", out.format, out.path), out.path, inputs); err != nil {
			return err
		}
	}
	return nil
}

// refuseTarget is refuse for one path, and the flag that names it.
func refuseTarget(flag, path string, inputs []reading) error {
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil || !dir.IsDir() {
		return usagef("", "%s: no such folder: %s", flag, filepath.Dir(path))
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return refuseFolder(flag, filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return usagef("name a file in it", "%s is a folder", flag)
	}
	if !info.Mode().IsRegular() {
		return nil // written to, not replaced: a terminal, /dev/null
	}
	for _, in := range inputs {
		if in.file != nil && os.SameFile(info, in.file) {
			return usagef("choose another name", "%s would overwrite %s", flag, in.what)
		}
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return refuseFolder(flag, filepath.Dir(path))
}

// refuseFolder fails if no file can be made in a folder.
func refuseFolder(flag, folder string) error {
	if err := tryFolder(folder); err != nil {
		return usagef("", "%s: nothing can be written to %s: %v", flag, folder, cause(err))
	}
	return nil
}

// tryFolder makes a file in a folder, and removes it.
func tryFolder(folder string) error {
	f, err := os.CreateTemp(folder, ".distproof-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

// write renders doc to all outputs: files first, since a reader of stdout may
// go away at any time.
func (outs outputs) write(doc *report.Document, stdout io.Writer, color colorMode, width int) error {
	render := func(w io.Writer, format string, opt report.Options) error {
		return report.Render(w, doc, format, opt)
	}
	return outs.writeBy(render, stdout, color, width)
}

// writeBy is write for what has a renderer of its own.
func (outs outputs) writeBy(render func(io.Writer, string, report.Options) error, stdout io.Writer, color colorMode, width int) error {
	for _, out := range outs {
		if out.path == "" {
			continue
		}
		opt := report.Options{Color: color.files}
		if err := writeFile(out.path, func(w io.Writer) error { return render(w, out.format, opt) }); err != nil {
			return fmt.Errorf("cannot write %s: %w", out.path, cause(err))
		}
	}
	for _, out := range outs {
		if out.path != "" {
			continue
		}
		w := bufio.NewWriter(stdout)
		if err := render(w, out.format, report.Options{Width: width, Color: color.stdout}); err != nil {
			return fmt.Errorf("cannot write the report: %w", err)
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("cannot write the report: %w", err)
		}
	}
	return nil
}

// writeFile replaces a file in one step, so that nobody reads half a report.
// What is not a regular file, as /dev/null or a pipe, cannot be replaced and
// is written to.
func writeFile(path string, render func(io.Writer) error) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeInPlace(path, render)
	}
	f, err := newReplacement(path, 0o666)
	if err != nil {
		return err
	}
	defer f.Cleanup()
	w := bufio.NewWriter(f)
	if err := render(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

func writeInPlace(path string, render func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := render(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
