// Package confine takes away from a process what it does not need any more once
// its sockets and files are open: another user's rights, capabilities, and the
// system calls of which only somebody who broke in has a use. All of it holds for
// all threads, and for good. It works on Linux.
package confine

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"
)

// A User is whom a process can become.
type User struct {
	Name     string
	UID, GID int
}

// overflow is the number of users and groups that have none; Debian and others
// call it nobody.
const overflow = 65534

// Nobody is the user who owns nothing.
func Nobody() User {
	u, err := LookupUser("nobody")
	if err != nil { // an image without /etc/passwd
		return User{Name: "nobody", UID: overflow, GID: overflow}
	}
	return u
}

// LookupUser finds a user in /etc/passwd. Numbers, as UID or UID:GID, need not
// be there; the group is by default that of the number of the user.
func LookupUser(name string) (User, error) {
	if uid, gid, ok := numbers(name); ok {
		return User{Name: name, UID: uid, GID: gid}, nil
	}
	found, err := user.Lookup(name)
	if err != nil {
		return User{}, fmt.Errorf("there is no user %q", name)
	}
	uid, gid, ok := numbers(found.Uid + ":" + found.Gid)
	if !ok {
		return User{}, fmt.Errorf("user %q has no number", name)
	}
	return User{Name: found.Username, UID: uid, GID: gid}, nil
}

func numbers(text string) (uid, gid int, ok bool) {
	first, second, two := strings.Cut(text, ":")
	if !two {
		second = first
	}
	u, errU := strconv.ParseUint(first, 10, 31)
	g, errG := strconv.ParseUint(second, 10, 31)
	return int(u), int(g), errU == nil && errG == nil
}
