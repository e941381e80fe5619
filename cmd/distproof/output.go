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

	"distproof/capture"
	"distproof/report"
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
			return nil, usagef("the formats are "+strings.Join(formats, ", "), "-o %s: unknown format %q", v, format)
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

// sameFile reports whether two paths lead to one file.
func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// refuseUnjudged fails if a format is about findings and none are looked for:
// a pipeline would take the empty report for a clean one.
func (outs outputs) refuseUnjudged() error {
	for _, out := range outs {
		if report.NeedsConclusion(out.format) {
			return usagef("distproof verify judges", "-o %s shows findings, and here is no judgement", out.format)
		}
	}
	return nil
}

// refuseInputs fails if an output would overwrite a capture, or cannot be
// written because its folder is not there: better now than after an hour.
func (outs outputs) refuseInputs(inputs []capture.Input) error {
	var paths []string
	for _, in := range inputs {
		paths = append(paths, in.Path)
	}
	return outs.refuse(paths, "the capture")
}

// refuse is refuseInputs for any files that are read.
func (outs outputs) refuse(inputs []string, what string) error {
	for _, out := range outs {
		if out.path == "" {
			continue
		}
		dir, err := os.Stat(filepath.Dir(out.path))
		if err != nil || !dir.IsDir() {
			return usagef("", "-o %s=%s: no such folder: %s", out.format, out.path, filepath.Dir(out.path))
		}
		info, err := os.Stat(out.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if info.IsDir() {
			return usagef("name a file in it", "-o %s=%s: is a folder", out.format, out.path)
		}
		for _, in := range inputs {
			if sameFile(out.path, in) {
				return usagef("choose another name for the report", "-o %s=%s would overwrite %s", out.format, out.path, what)
			}
		}
	}
	return nil
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
			return fmt.Errorf("cannot write %s: %w", out.path, err)
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
