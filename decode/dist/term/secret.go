package term

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// secretWords in a key mean that what belongs to it is not shown.
var secretWords = [][]byte{
	[]byte("password"), []byte("passwd"), []byte("passphrase"), []byte("pwd"), []byte("secret"),
	[]byte("cookie"), []byte("token"), []byte("key"), []byte("credential"),
	[]byte("private"), []byte("authoriz"),
}

// MayNameSecret reports whether a text has a word in it that names something
// secret, as a key or a function does.
func MayNameSecret(text []byte) bool {
	for i := range text {
		for _, w := range secretWords {
			if len(text)-i >= len(w) && bytes.EqualFold(text[i:i+len(w)], w) {
				return true
			}
		}
	}
	return false
}

// mayBeSecret reports whether a text is not to be shown: one that has a word in
// it that looks like a key, or one that says more of something secret than its
// name.
func mayBeSecret(text []byte) bool {
	if MayNameSecret(text) && !identifier(text) {
		return true
	}
	if bytes.Contains(text, []byte("://")) && bytes.Contains(text, []byte("@")) {
		return true // a URL with a user in it
	}
	from := 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && tokenByte(text[i]) {
			continue
		}
		if looksRandom(text[from:i]) {
			return true
		}
		from = i + 1
	}
	return false
}

// identifier reports whether a text is one word, such as the name of a key.
func identifier(text []byte) bool {
	for _, r := range string(text) {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' && r != '.' && r != '$' && r != '?' {
			return false
		}
	}
	return utf8.RuneCount(text) <= 40
}

// tokenByte reports whether x occurs in base64 or hex.
func tokenByte(x byte) bool {
	return alphanumeric(x) || x == '+' || x == '/' || x == '=' || x == '-' || x == '_'
}

func alphanumeric(x byte) bool { return isLower(x) || isUpper(x) || isDigit(x) }
func isLower(x byte) bool      { return 'a' <= x && x <= 'z' }
func isUpper(x byte) bool      { return 'A' <= x && x <= 'Z' }
func isDigit(x byte) bool      { return '0' <= x && x <= '9' }
func isHex(x byte) bool        { return isDigit(x) || 'a' <= x|0x20 && x|0x20 <= 'f' }

// minRandom is the length below which a word says nothing: names and versions
// are of all kinds.
const minRandom = 16

// looksRandom reports whether a word is of no language: hex, capitals only as
// a generated cookie of Erlang is, or letters and digits that change often.
func looksRandom(word []byte) bool {
	var lower, upper, digit, hex, changes int
	var last *int
	for _, x := range word {
		class := &lower
		switch {
		case isLower(x):
		case isUpper(x):
			class = &upper
		case isDigit(x):
			class = &digit
		default:
			continue
		}
		if *class++; last != nil && class != last {
			changes++
		}
		last = class
		if isHex(x) {
			hex++
		}
	}
	n := lower + upper + digit
	other := len(word) - n
	switch {
	case n < minRandom:
		return false
	case hex == n && digit > 0 && other <= n/4:
		return true
	case upper == n:
		return other == 0
	case lower > 0 && upper > 0 && digit > 0:
		return changes*3 >= n
	case digit > 0:
		return changes*5 >= n
	}
	// Upper and lower case without a digit, as base64 of a few bytes may be:
	// names change at the beginnings of words, and these have some length.
	return upper > 0 && changes*5 >= n*2
}
