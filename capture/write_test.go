package capture

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is written is read back as it was.
func TestWriterRoundTrip(t *testing.T) {
	packets := []Packet{
		{Data: []byte("one"), Length: 3, Time: 1_790_000_000_123_456_789, Frame: Frame{Number: 1}, LinkType: 1},
		{Data: []byte("four"), Length: 1500, Time: 1_790_000_001_000_000_000, Frame: Frame{Number: 2}, LinkType: 1},
		{Data: []byte{}, Length: 0, Time: 0, Frame: Frame{Number: 3}, LinkType: 113, FCSLength: 4},
		{Data: []byte("seven.."), Length: 7, Time: 1, Frame: Frame{Number: 4}, LinkType: 113, FCSLength: 14},
		{Data: bytes.Repeat([]byte("long"), 100<<10), Length: 400 << 10, Time: 2, Frame: Frame{Number: 5}, LinkType: 113},
	}
	var out bytes.Buffer
	w := NewWriter(&out, "a program", "a comment")
	if err := w.WriteSecrets([]byte("secrets\n")); err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		p := &packets[i]
		if !w.HasInterface(p) {
			if err := w.WriteInterface(p, "an interface", uint32(max(len(p.Data), 0x40000))); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.WritePacket(p, "first", "second"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteStatistics(&packets[2], 7, "lost"); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&out, "written")
	if err != nil {
		t.Fatal(err)
	}
	var p Packet
	for _, want := range packets {
		if err := r.Next(&p); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, p); diff != "" {
			t.Error(diff)
		}
	}
	if err := r.Next(&p); err == nil {
		t.Error("more packets than were written")
	}
	in := r.Inputs()[0]
	if in.Damage != nil || in.Dropped != 7 || in.Format != "pcapng" || len(in.Secrets) != 1 || string(in.Secrets[0]) != "secrets\n" {
		t.Errorf("%+v", in)
	}
}

// The bytes are those that the format has.
func TestWriterBytes(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, "", "")
	p := Packet{Data: []byte("packet"), Length: 9, Time: 0x0102030405060708, LinkType: 1}
	w.WriteInterface(&p, "", 0x40000)
	w.WritePacket(&p, "why")
	w.WriteStatistics(&p, 0x0203, "")
	end := uint32(0) // opt_endofopt
	want := le.fields(
		le.block(0x0a0d0d0a, uint32(0x1a2b3c4d), uint16(1), uint16(0), ^uint64(0), end),
		le.block(1, uint16(1), uint16(0), uint32(0x40000), // link type, reserved, snaplen
			uint16(9), uint16(1), []byte{9, 0, 0, 0}, end), // if_tsresol: nanoseconds
		le.block(6, uint32(0), uint32(0x01020304), uint32(0x05060708), uint32(6), uint32(9), // interface, time, captured, length
			"packet\x00\x00", uint16(1), uint16(3), "why\x00", end), // comment
		le.block(5, uint32(0), uint32(0x01020304), uint32(0x05060708), // interface, time
			uint16(7), uint16(8), uint64(0x0203), end), // isb_osdrop
	)
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("wrote % x\n want % x", out.Bytes(), want)
	}
}

type full struct{ room int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// An error stays: nobody takes half a file for a whole one.
func TestWriterError(t *testing.T) {
	w := NewWriter(&full{room: 60}, "", "")
	p := Packet{Data: []byte("packet"), Length: 6, LinkType: 1}
	w.WriteInterface(&p, "", 0)
	for range 2 {
		if err := w.WritePacket(&p); !errors.Is(err, errFull) {
			t.Errorf("error %v", err)
		}
	}
}
