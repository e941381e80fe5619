package link

import "github.com/google/gopacket"

// The fence around gopacket: its layers slice by lengths from the packet and
// panic on short or hostile ones, which here is the same as an error.

// safely decodes one header into l, and reports whether it could. The header is
// then in LayerContents.
func safely(l decodingLayer, b []byte) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return l.DecodeFromBytes(b, gopacket.NilDecodeFeedback) == nil
}

type decodingLayer interface {
	DecodeFromBytes(b []byte, df gopacket.DecodeFeedback) error
}

// single decodes one header of a type that gopacket decodes only as a part of a
// whole packet. It is nil if that fails.
func single(t gopacket.LayerType, b []byte) (l gopacket.Layer) {
	defer func() {
		if recover() != nil {
			l = nil
		}
	}()
	var first firstLayer
	if t.Decode(b, &first) != nil {
		return nil
	}
	return first.layer
}

// firstLayer takes the first layer of a packet, and stops there. The methods
// that the layers used here do not need are those of a nil interface.
type firstLayer struct {
	gopacket.PacketBuilder
	layer gopacket.Layer
}

func (f *firstLayer) AddLayer(l gopacket.Layer)            { f.layer = l }
func (f *firstLayer) SetLinkLayer(gopacket.LinkLayer)      {}
func (f *firstLayer) NextDecoder(_ gopacket.Decoder) error { return nil }
