package main

import (
	"os"

	"distproof/verify"
	"distproof/verify/policy"
)

// readCookies reads the files of --cookies and of the policy. No message has a
// part of one in it.
func readCookies(files []policy.Ref) ([]verify.Cookie, error) {
	var out []verify.Cookie
	for _, f := range files {
		cookies, err := readCookieFile(f.Place.String(), f.Path)
		if err != nil {
			return nil, err
		}
		if out = append(out, cookies...); len(out) > verify.MaxCookies {
			return nil, usagef("", "%s %s: more than %d cookies", f.Place, f.Path, verify.MaxCookies)
		}
	}
	return out, nil
}

// readCookieFile reads one; by is the flag or the line that names it.
func readCookieFile(by, path string) ([]verify.Cookie, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fileError("", by, path, err)
	}
	defer file.Close()
	cookies, err := verify.ReadCookies(file, path)
	if err != nil {
		return nil, fileError("the file has one cookie per line; lines that begin with # are comments", by, path, err)
	}
	return cookies, nil
}
