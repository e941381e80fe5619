package main

import (
	"errors"
	"io/fs"
	"os"

	"distproof/verify"
)

// readCookies reads the files of --cookies. No message has a part of one in it.
func readCookies(paths []string) ([]verify.Cookie, error) {
	var out []verify.Cookie
	for _, path := range paths {
		cookies, err := readCookieFile(path)
		if err != nil {
			return nil, err
		}
		if out = append(out, cookies...); len(out) > verify.MaxCookies {
			return nil, usagef("", "--cookies %s: more than %d cookies", path, verify.MaxCookies)
		}
	}
	return out, nil
}

func readCookieFile(path string) ([]verify.Cookie, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("", "--cookies %s: no such file", path)
	}
	if err != nil {
		return nil, usagef("", "--cookies: %v", err)
	}
	defer file.Close()
	cookies, err := verify.ReadCookies(file, path)
	if err != nil {
		return nil, usagef("the file has one cookie a line; lines that begin with # are comments", "--cookies %s: %v", path, err)
	}
	return cookies, nil
}
