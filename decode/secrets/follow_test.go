package secrets

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"distproof/decode/wire"
)

// A side is what one peer sent, read message by message as the test follows the
// protocol.
type side struct {
	name   string
	client bool
	data   []byte

	opener *Opener // nil: in the clear
	// next is the opener from the ChangeCipherSpec on.
	next *Opener

	messages []byte // handshake bytes not yet taken
	app      []byte
	early    []byte
	key      *Key
}

var errEnd = errors.New("no more records")

// record reads and opens a record.
func (s *side) record() (kind uint8, content []byte, err error) {
	if len(s.data) < 5 {
		return 0, nil, errEnd
	}
	c := wire.NewCursor(s.data)
	kind, version := c.Uint8("type"), c.Uint16("version")
	v := c.Vector16("record")
	body := v.Rest()
	if c.Err() != nil {
		return 0, nil, c.Err()
	}
	s.data = s.data[5+len(body):]
	if s.opener == nil || kind == 20 && s.opener.is13 {
		return kind, body, nil
	}
	seq := s.opener.seq
	if kind, content, err = s.opener.Open(nil, kind, version, body); err != nil {
		return 0, nil, fmt.Errorf("%s record %d: %w", s.name, seq, err)
	}
	return kind, content, nil
}

// message returns the next handshake message with its header, its type and its
// body.
func (s *side) message() (whole []byte, kind uint8, body []byte, err error) {
	for {
		c := wire.NewCursor(s.messages)
		kind = c.Uint8("type")
		v := c.Vector24("message")
		body = v.Rest()
		if c.Err() == nil {
			whole = s.messages[:4+len(body)]
			s.messages = s.messages[4+len(body):]
			return whole, kind, body, nil
		}
		kind, content, err := s.record()
		if err != nil {
			return nil, 0, nil, err
		}
		switch kind {
		case 20:
			if s.next != nil {
				s.opener, s.next = s.next, nil
			}
		case 21:
			return nil, 0, nil, fmt.Errorf("%s alert % x", s.name, content)
		case 22:
			s.messages = append(s.messages, content...)
		case 23:
			s.early = append(s.early, content...)
		default:
			return nil, 0, nil, fmt.Errorf("%s record of type %d", s.name, kind)
		}
	}
}

// A followed connection: what was verified, in order, and what was sent.
type followed struct {
	version, suite uint16
	verified       []string
	client, server side

	secrets      *Secrets
	clientRandom [32]byte
	serverRandom [32]byte
	etm          bool
	transcript   Transcript
}

// follow plays a connection back: it opens every record and checks all that can
// be checked.
func follow(client, server []byte, secrets func([32]byte) *Secrets) (*followed, error) {
	f := &followed{client: side{name: "client", client: true, data: client}, server: side{name: "server", data: server}}
	retry, err := f.hellos()
	if err != nil {
		return f, err
	}
	if f.secrets = secrets(f.clientRandom); f.secrets == nil {
		return f, errors.New("no secrets")
	}
	if f.version >= 0x0304 {
		err = f.rest13()
	} else {
		err = f.rest12()
	}
	if err == nil && retry {
		f.verified = append([]string{"retry"}, f.verified...)
	}
	return f, err
}

// take reads a message, which must be of one of the kinds, into the transcript,
// but checks it first.
func (f *followed) take(s *side, kinds ...uint8) (kind uint8, body []byte, err error) {
	whole, kind, body, err := s.message()
	if err != nil {
		return 0, nil, err
	}
	if len(kinds) > 0 && !slices.Contains(kinds, kind) {
		return 0, nil, fmt.Errorf("%s message of type %d", s.name, kind)
	}
	if err := f.check(s, kind, body); err != nil {
		return 0, nil, fmt.Errorf("%s message of type %d: %w", s.name, kind, err)
	}
	f.transcript.Add(whole)
	return kind, body, nil
}

func (f *followed) hellos() (retry bool, err error) {
	const hello, serverHello = 1, 2
	_, body, err := f.take(&f.client, hello)
	if err != nil {
		return false, err
	}
	c := wire.NewCursor(body)
	c.Bytes("version", 2)
	copy(f.clientRandom[:], c.Bytes("random", 32))
	whole, kind, body, err := f.server.message()
	if err != nil || kind != serverHello {
		return false, fmt.Errorf("server message of type %d: %w", kind, err)
	}
	f.readServerHello(body)
	if f.serverRandom == sha256.Sum256([]byte("HelloRetryRequest")) {
		if err := f.transcript.Retry(f.suite); err != nil {
			return true, err
		}
		f.transcript.Add(whole)
		if _, _, err := f.take(&f.client, hello); err != nil {
			return true, err
		}
		if whole, _, body, err = f.server.message(); err != nil {
			return true, err
		}
		f.readServerHello(body)
		retry = true
	}
	f.transcript.Add(whole)
	return retry, nil
}

func (f *followed) readServerHello(body []byte) {
	c := wire.NewCursor(body)
	f.version = c.Uint16("version")
	copy(f.serverRandom[:], c.Bytes("random", 32))
	skip(c.Vector8("session"))
	f.suite = c.Uint16("suite")
	c.Bytes("compression", 1)
	for x := c.Vector16("extensions"); !x.Empty(); {
		id := x.Uint16("id")
		v := x.Vector16("extension")
		switch id {
		case 22:
			f.etm = true
		case 43:
			f.version = v.Uint16("version")
		}
	}
}

// check verifies what a message proves.
func (f *followed) check(s *side, kind uint8, body []byte) error {
	var scheme Scheme
	var err error
	var what string
	if s.key == nil {
		s.key = new(Key)
	}
	switch is13 := f.version >= 0x0304; {
	case kind == 11:
		c := wire.NewCursor(body)
		if is13 {
			skip(c.Vector8("context"))
		}
		list := c.Vector24("list")
		if list.Empty() {
			f.verified = append(f.verified, s.name+" empty Certificate")
			return c.Err()
		}
		v := list.Vector24("certificate")
		key, err := CertificateKey(v.Rest())
		s.key = &key
		return err
	case kind == 12:
		what = "KeyExchange"
		scheme, err = VerifyServerKeyExchange(*s.key, f.version, f.suite, f.clientRandom, f.serverRandom, body)
	case kind == 15 && is13:
		what = "CertificateVerify"
		scheme, err = VerifyCertificateVerify13(*s.key, f.suite, s.client, &f.transcript, body)
	case kind == 15:
		what = "CertificateVerify"
		scheme, err = VerifyCertificateVerify12(*s.key, f.version, &f.transcript, body)
	case kind == 20 && is13:
		what = "Finished"
		secret := f.secrets.ServerHandshake
		if s.client {
			secret = f.secrets.ClientHandshake
		}
		err = VerifyFinished13(f.suite, secret, &f.transcript, body)
	case kind == 20:
		what = "Finished"
		err = VerifyFinished12(f.version, f.suite, f.secrets.Master, s.client, &f.transcript, body)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	fact := s.name + " " + what
	if scheme != 0 {
		fact += " " + scheme.String()
	}
	f.verified = append(f.verified, fact)
	return nil
}

const finished = 20

func (f *followed) rest12() error {
	const done = 14
	for _, s := range []*side{&f.client, &f.server} {
		var err error
		if s.next, err = NewOpener12(f.version, f.suite, f.secrets.Master, f.clientRandom, f.serverRandom, s.client, f.etm); err != nil {
			return err
		}
	}
	first, second := &f.client, &f.server
	for kind := uint8(0); kind != done; {
		var err error
		if kind, _, err = f.take(&f.server); err != nil {
			return err
		}
		if kind == finished {
			first, second = nil, &f.client // abbreviated
			f.verified = append(f.verified, "resumed")
			break
		}
	}
	for _, s := range []*side{first, second} {
		for kind := uint8(0); s != nil && kind != finished; {
			var err error
			if kind, _, err = f.take(s); err != nil {
				return err
			}
		}
	}
	return errors.Join(f.drain(&f.client), f.drain(&f.server))
}

func (f *followed) rest13() error {
	opener := func(s *side, secrets ...[]byte) error {
		var err error
		if s.opener, err = NewOpener13(f.suite, secrets...); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		return nil
	}
	if f.secrets.ClientEarly != nil {
		// Behind an early hello stand early data and EndOfEarlyData.
		if err := opener(&f.client, f.secrets.ClientEarly); err != nil {
			return err
		}
	} else if err := opener(&f.client, f.secrets.ClientHandshake); err != nil {
		return err
	}
	if err := opener(&f.server, f.secrets.ServerHandshake); err != nil {
		return err
	}
	for _, s := range []*side{&f.server, &f.client} {
		for kind := uint8(0); kind != finished; {
			var err error
			if kind, _, err = f.take(s); err != nil {
				return err
			}
			const endOfEarlyData = 5
			if kind == endOfEarlyData {
				if err := opener(s, f.secrets.ClientHandshake); err != nil {
					return err
				}
			}
		}
	}
	if err := errors.Join(opener(&f.client, f.secrets.ClientTraffic, f.secrets.ServerTraffic), opener(&f.server, f.secrets.ServerTraffic, f.secrets.ClientTraffic)); err != nil {
		return err
	}
	return errors.Join(f.drain(&f.client), f.drain(&f.server))
}

// drain reads what follows the handshake.
func (f *followed) drain(s *side) error {
	for {
		kind, content, err := s.record()
		if errors.Is(err, errEnd) {
			return nil
		}
		if err != nil {
			return err
		}
		switch kind {
		case 21:
			if !bytes.Equal(content, []byte{1, 0}) {
				return fmt.Errorf("%s alert % x", s.name, content)
			}
		case 22:
			const keyUpdate = 24
			if f.version >= 0x0304 && len(content) > 0 && content[0] == keyUpdate {
				f.verified = append(f.verified, s.name+" KeyUpdate")
				if err := s.opener.Next(); err != nil {
					return err
				}
			}
		case 23:
			s.app = append(s.app, content...)
		}
	}
}
