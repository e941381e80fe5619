//go:build !linux

package live

import (
	"errors"

	"distproof/capture"
)

// errUnsupported is the error of systems without AF_PACKET.
var errUnsupported error = &capture.Error{
	Reason: "capturing on an interface works on Linux only",
	Advice: "tcpdump -i any -U -w - | distproof watch - judges while it captures\ntcpdump -i any -U -w - | distproof verify - when it has ended",
	Err:    errors.ErrUnsupported,
}

// A Source captures. There is none on this system.
type Source struct{}

// Open fails: this system has no AF_PACKET.
func Open(o Options) (*Source, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return nil, errUnsupported
}

// Next implements [capture.Source].
func (*Source) Next(*capture.Packet) error { return errUnsupported }

// Inputs implements [capture.Source].
func (*Source) Inputs() []capture.Input { return nil }

// HasSecrets implements [capture.Source].
func (*Source) HasSecrets() bool { return false }

// Notes are remarks for the user.
func (*Source) Notes() []string { return nil }

// Interfaces says how the interfaces do that are captured on.
func (*Source) Interfaces() []InterfaceState { return nil }

// Noticed has something when an interface has changed.
func (*Source) Noticed() <-chan struct{} { return nil }

// Stop ends the capture.
func (*Source) Stop() {}

// Close implements [capture.Source].
func (*Source) Close() error { return nil }
