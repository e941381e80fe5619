package main

import (
	"strconv"
	"time"
)

// days is a flag's number of days.
type days uint16

func (d *days) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return usagef("", "%q is not a number of days (0 to 65535)", s)
	}
	*d = days(n)
	return nil
}

func (d *days) String() string { return strconv.Itoa(int(*d)) }

// Type is the name of the value in help texts.
func (d *days) Type() string { return "DAYS" }

func (d *days) duration() time.Duration { return time.Duration(*d) * 24 * time.Hour }
