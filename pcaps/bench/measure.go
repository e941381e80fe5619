//go:build linux

package main

import "io"

func measure(args []string, w io.Writer) error { return nil }
