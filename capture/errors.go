package capture

// An Error says why an input cannot be read at all.
type Error struct {
	// Path is the file's name as the user gave it, or found in a folder.
	Path string
	// Reason says what is wrong, in words.
	Reason string
	// Advice says what the user can do about it; it may be empty.
	Advice string
	// Err is the error of the system or of a decompressor, or nil.
	Err error

	// notCapture says that the file could be read and holds something else than a
	// capture, as far as its bytes tell.
	notCapture bool
}

func (e *Error) Error() string {
	name := e.Path
	if name == stdin {
		name = "standard input"
	}
	if name == "" {
		return e.Reason
	}
	return name + ": " + e.Reason
}

// Hint is what the user can do about it, or "".
func (e *Error) Hint() string { return e.Advice }

func (e *Error) Unwrap() error { return e.Err }
