package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"distproof/report"
)

// printError writes a hint line for each advice in err, and then an error line:
// the last line on stderr is the reason of the exit code.
func printError(w io.Writer, err error) {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok && h.Hint() != "" {
		for hint := range strings.SplitSeq(h.Hint(), "\n") {
			fmt.Fprintln(w, "hint: "+report.Escape(hint))
		}
	}
	fmt.Fprintln(w, "error: "+report.Escape(err.Error()))
}

// A usageError is a command line that makes no sense.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }

// Hint says what would make sense, a line for each advice.
func (e *usageError) Hint() string { return e.hint }

func usagef(hint, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), hint}
}

// fileError is the error of a file or folder that cannot be read; by is the flag,
// or the place in a policy, that names it, or "".
func fileError(hint, by, path string, err error) error {
	err = cause(err)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("no such file")
	}
	return usagef(hint, "%s: %v", strings.TrimSpace(by+" "+path), err)
}

// cause is what went wrong with a file, without its name.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
