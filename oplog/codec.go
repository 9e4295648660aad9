package oplog

import (
	"errors"
	"fmt"
	"slices"
)

// A Codec is a way to write a message. Readers take every codec, so the nodes
// of a fleet need not agree on one.
type Codec string

// The codecs. Byte 0 of a body tells which one wrote it, and its version.
const (
	Msgpack Codec = "msgpack" // compact; byte 0 is 0x01
	JSON    Codec = "json"    // readable with nats sub; byte 0 is {, "v" is 1
)

const (
	msgpackV1 = 0x01
	jsonV1    = 1
)

// MaxBody is the largest body that Decode looks at, in bytes. It leaves room
// for a value of MaxValue in base64.
const MaxBody = 24 << 20

// Errors of Decode that callers tell apart.
var (
	// ErrVersion reports a body in a format newer than this program knows.
	ErrVersion = errors.New("oplog: unknown format version")
	// ErrKind reports a well-formed body whose message type is unknown.
	ErrKind = errors.New("oplog: unknown message type")
	// ErrMalformed reports a body that no correct master sends.
	ErrMalformed = errors.New("oplog: malformed body")
)

// ParseCodec returns the codec of that name.
func ParseCodec(name string) (Codec, error) {
	switch c := Codec(name); c {
	case Msgpack, JSON:
		return c, nil
	}
	return "", fmt.Errorf("codec %q: want msgpack or json", name)
}

// Encode writes m as a self-describing body.
func Encode(c Codec, m Message) ([]byte, error) {
	if c == JSON {
		return encodeJSON(m)
	}
	return encodeMsgpack(m)
}

// Decode reads a body that Encode wrote, in either codec. It returns an error
// that wraps ErrVersion, ErrKind or ErrMalformed when it cannot, and never
// keeps body: the message owns its bytes.
func Decode(body []byte) (Message, error) {
	switch {
	case len(body) == 0:
		return nil, fmt.Errorf("%w: empty", ErrMalformed)
	case len(body) > MaxBody:
		return nil, fmt.Errorf("%w: %d bytes, limit %d", ErrMalformed, len(body), MaxBody)
	case body[0] == msgpackV1:
		return decodeMsgpack(body)
	case body[0] == '{':
		return decodeJSON(body)
	}
	return nil, fmt.Errorf("%w: first byte 0x%02x", ErrVersion, body[0])
}

// refuse says why the body of m is not taken. An entry of an unknown kind comes
// from a later program and is no fault of the sender.
func refuse(m Message, err error) error {
	if errors.Is(err, ErrKind) {
		return fmt.Errorf("%s: %w", m.kind(), err)
	}
	return fmt.Errorf("%w: %s: %w", ErrMalformed, m.kind(), err)
}

// A coder visits the fields of a message in order. A writing coder reads the
// fields it is shown, a reading coder fills them, so that each message says
// its layout once for both codecs and both directions.
//
// A coder that meets an error remembers it and does nothing from then on.
type coder interface {
	str(name string, p *string)
	// uint visits a number that counts something, word one that is compared or
	// ordered as 64 bits: a hash, an epoch, a timestamp.
	uint(name string, p *uint64)
	word(name string, p *uint64)
	int(name string, p *int64)
	bool(name string, p *bool)
	data(name string, p *[]byte)
	origin(name string, p *Origin)
	nonce(name string, p *Nonce)
	// object visits a group of so many fields. An empty name is a list element.
	object(name string, fields int, body func(coder))
	// count visits the length of a list. Elements follow with empty names.
	count(name string, n int) int
	// endList ends the list that the last count opened.
	endList()
	// fail remembers the first error that is not nil.
	fail(err error)
	failed() bool
	// reading tells a coder that fills fields. The other one must leave the
	// message as it is: others may be reading it.
	reading() bool
}

// codeList visits a list of at most limit elements. A reader doubles the list as
// elements really arrive: the count alone never buys memory.
func codeList[T any](c coder, name string, list *[]T, limit int, each func(coder, *T)) {
	n := c.count(name, len(*list))
	if n > limit {
		c.fail(fmt.Errorf("%s: %d elements, limit %d", name, n, limit))
		n = 0
	}
	for i := 0; i < n && !c.failed(); i++ {
		if i == len(*list) {
			if i == cap(*list) {
				*list = slices.Grow(*list, min(n-i, max(i, 8)))
			}
			var zero T
			*list = append(*list, zero)
		}
		each(c, &(*list)[i])
	}
	c.endList()
}

// codeClock visits a clock as its rows in order of origin. A reader takes them
// in no other order, so that a clock has one form and no row comes twice.
func codeClock(c coder, name string, clock *Clock) {
	rows := clock.rows()
	var last Origin
	codeList(c, name, &rows, MaxClock, func(c coder, d *Dot) {
		c.object("", 2, func(c coder) {
			c.origin("origin", &d.Origin)
			c.uint("seq", &d.Seq)
		})
		if d.Seq == 0 || !d.Origin.complete() || d.Origin.Compare(last) <= 0 {
			c.fail(fmt.Errorf("%s: no row or out of order", name))
		}
		last = d.Origin
	})
	if c.reading() {
		*clock = make(Clock, len(rows))
		for _, d := range rows {
			(*clock)[d.Origin] = d.Seq
		}
	}
}

func codeStamp(c coder, name string, s *Stamp) {
	c.object(name, 3, func(c coder) {
		c.word("hlc", (*uint64)(&s.HLC))
		c.origin("origin", &s.Origin)
		c.uint("seq", &s.Seq)
	})
}

func codeUint32(c coder, name string, p *uint32) {
	wide := uint64(*p)
	c.uint(name, &wide)
	if wide > 1<<32-1 {
		c.fail(fmt.Errorf("%s: %d does not fit 32 bits", name, wide))
		return
	}
	if c.reading() {
		*p = uint32(wide)
	}
}
