package secrets

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// A ccm opens what AES-CCM sealed (RFC 3610). The standard library has none,
// and the public ones come with a whole DTLS or Bluetooth stack.
type ccm struct {
	block cipher.Block
	tag   int // bytes
}

// Open does what that of [cipher.AEAD] does. The message is at most a record,
// ad at most a record's header.
func (c ccm) Open(dst, nonce, sealed, ad []byte) ([]byte, error) {
	if len(sealed) < c.tag {
		return nil, ErrTag
	}
	text, tag := sealed[:len(sealed)-c.tag], sealed[len(sealed)-c.tag:]

	// The counter block: flags, nonce, counter (Section 2.3). Counter zero is
	// for the tag, the message begins with one.
	var counter [16]byte
	counter[0] = byte(15 - len(nonce) - 1)
	copy(counter[1:], nonce)
	stream := cipher.NewCTR(c.block, counter[:])
	var mask [16]byte
	stream.XORKeyStream(mask[:], mask[:])
	start := len(dst)
	dst = append(dst, text...)
	plain := dst[start:]
	stream.XORKeyStream(plain, plain)

	mac := c.mac(nonce, plain, ad)
	subtle.XORBytes(mac[:], mac[:], mask[:])
	if subtle.ConstantTimeCompare(mac[:c.tag], tag) != 1 {
		clear(plain)
		return nil, ErrTag
	}
	return dst, nil
}

// mac is the CBC-MAC of Section 2.2.
func (c ccm) mac(nonce, plain, ad []byte) [16]byte {
	var x [16]byte
	size := 15 - len(nonce) // bytes of the length field
	binary.BigEndian.PutUint64(x[8:], uint64(len(plain)))
	copy(x[1:], nonce)
	x[0] = byte((c.tag-2)/2<<3 | (size - 1))
	if len(ad) > 0 {
		x[0] |= 1 << 6
	}
	c.block.Encrypt(x[:], x[:])
	if len(ad) > 0 {
		c.absorb(&x, append(binary.BigEndian.AppendUint16(nil, uint16(len(ad))), ad...))
	}
	c.absorb(&x, plain)
	return x
}

// absorb continues the CBC-MAC x with b, padded with zeros to whole blocks.
func (c ccm) absorb(x *[16]byte, b []byte) {
	for len(b) > 0 {
		n := min(len(b), len(x))
		subtle.XORBytes(x[:n], x[:n], b[:n])
		c.block.Encrypt(x[:], x[:])
		b = b[n:]
	}
}
