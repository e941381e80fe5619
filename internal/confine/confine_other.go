//go:build !linux

package confine

import "errors"

// Privileges can do nothing here.
func Privileges(*User) error { return errors.ErrUnsupported }

// SystemCalls can do nothing here.
func SystemCalls() error { return errors.ErrUnsupported }
