//go:build !linux

package main

import "errors"

func sandboxVersion() int { return 0 }

// restrict can do nothing here.
func restrict(_ *sandbox, required bool) error {
	if required {
		return errors.New("only Linux has Landlock")
	}
	return nil
}
