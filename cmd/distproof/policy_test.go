package main

import (
	"distproof/verify"
	"distproof/verify/policy"
)

// refs are files as --ca names them.
func refs(paths ...string) []policy.Ref {
	var out []policy.Ref
	for _, path := range paths {
		out = append(out, policy.Ref{Path: path, Place: verify.Place{Path: "--ca"}})
	}
	return out
}
