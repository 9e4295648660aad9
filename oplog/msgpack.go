package oplog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// The msgpack form of a message is byte 0, the type, then its fields in order:
// every object is an array without names. An origin is written whole the first
// time it occurs in a message, [node, epoch], and as its number after that.

func encodeMsgpack(m Message) ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteByte(msgpackV1)
	enc := msgpack.NewEncoder(&buf)
	w := &msgpackWriter{enc: enc}
	w.keep(enc.EncodeUint(uint64(m.kind())))
	m.code(w)
	if w.err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.kind(), w.err)
	}
	return buf.Bytes(), nil
}

type msgpackWriter struct {
	enc     *msgpack.Encoder
	origins map[Origin]uint64
	err     error
}

func (w *msgpackWriter) keep(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *msgpackWriter) fail(err error)            { w.keep(err) }
func (w *msgpackWriter) failed() bool              { return w.err != nil }
func (w *msgpackWriter) reading() bool             { return false }
func (w *msgpackWriter) uint(_ string, p *uint64)  { w.keep(w.enc.EncodeUint(*p)) }
func (w *msgpackWriter) word(_ string, p *uint64)  { w.keep(w.enc.EncodeUint(*p)) }
func (w *msgpackWriter) int(_ string, p *int64)    { w.keep(w.enc.EncodeInt(*p)) }
func (w *msgpackWriter) bool(_ string, p *bool)    { w.keep(w.enc.EncodeBool(*p)) }
func (w *msgpackWriter) nonce(_ string, p *Nonce)  { w.bytes(p[:]) }
func (w *msgpackWriter) data(_ string, p *[]byte)  { w.bytes(*p) }
func (w *msgpackWriter) endList()                  {}
func (w *msgpackWriter) count(_ string, n int) int { w.keep(w.enc.EncodeArrayLen(n)); return n }
func (w *msgpackWriter) object(_ string, n int, body func(coder)) {
	w.keep(w.enc.EncodeArrayLen(n))
	body(w)
}

// str writes what readers take: foreign bytes may have come into a text.
func (w *msgpackWriter) str(_ string, p *string) {
	w.keep(w.enc.EncodeString(strings.ToValidUTF8(*p, "\uFFFD")))
}

// bytes writes a nil slice as an empty one: the library would write nil.
func (w *msgpackWriter) bytes(b []byte) {
	if b == nil {
		b = []byte{}
	}
	w.keep(w.enc.EncodeBytes(b))
}

func (w *msgpackWriter) origin(_ string, p *Origin) {
	if n, ok := w.origins[*p]; ok {
		w.keep(w.enc.EncodeUint(n))
		return
	}
	if w.origins == nil {
		w.origins = make(map[Origin]uint64)
	}
	w.origins[*p] = uint64(len(w.origins))
	w.keep(w.enc.EncodeArrayLen(2))
	w.keep(w.enc.EncodeString(p.Node))
	w.keep(w.enc.EncodeUint(p.Epoch))
}

func decodeMsgpack(body []byte) (Message, error) {
	src := bytes.NewReader(body[1:])
	r := &msgpackReader{body: body[1:], src: src, dec: msgpack.NewDecoder(src)}
	var kind uint64
	r.uint("type", &kind)
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, r.err)
	}
	m, err := newMessage(Kind(min(kind, math.MaxUint16)))
	if err != nil {
		return nil, err
	}
	m.code(r)
	if r.err == nil && src.Len() > 0 {
		r.err = fmt.Errorf("%d bytes too many", src.Len())
	}
	if r.err == nil {
		r.err = m.check()
	}
	if r.err != nil {
		return nil, refuse(m, r.err)
	}
	return m, nil
}

// A msgpackReader drives the library's decoder value by value. It never asks
// it for a slice, a map or an interface: those trust the lengths they read.
type msgpackReader struct {
	body    []byte
	src     *bytes.Reader
	dec     *msgpack.Decoder
	origins []Origin
	err     error
}

func (r *msgpackReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *msgpackReader) failed() bool  { return r.err != nil }
func (r *msgpackReader) reading() bool { return true }
func (r *msgpackReader) endList()      {}

// code returns the type byte of the next value without consuming it.
func (r *msgpackReader) code() byte {
	if r.err != nil {
		return 0xc1 // never used by msgpack
	}
	c, err := r.dec.PeekCode()
	if err != nil {
		r.fail(errors.New("ends early"))
		return 0xc1
	}
	return c
}

func (r *msgpackReader) word(name string, p *uint64) { r.uint(name, p) }

func (r *msgpackReader) uint(name string, p *uint64) {
	c := r.code()
	if c > 0x7f && (c < msgpcode.Uint8 || c > msgpcode.Uint64) {
		r.fail(fmt.Errorf("%s: not an unsigned number", name))
		return
	}
	v, err := r.dec.DecodeUint64()
	r.fail(err)
	*p = v
}

func (r *msgpackReader) int(name string, p *int64) {
	c := r.code()
	if c == msgpcode.Uint64 { // how the library writes a large positive one
		var wide uint64
		r.uint(name, &wide)
		if wide > 1<<63-1 {
			r.fail(fmt.Errorf("%s: %d does not fit 63 bits", name, wide))
		}
		*p = int64(wide)
		return
	}
	fixed := c <= 0x7f || c >= 0xe0
	if !fixed && (c < msgpcode.Uint8 || c > msgpcode.Int64) {
		r.fail(fmt.Errorf("%s: not a number", name))
		return
	}
	v, err := r.dec.DecodeInt64()
	r.fail(err)
	*p = v
}

func (r *msgpackReader) bool(name string, p *bool) {
	if c := r.code(); c != msgpcode.True && c != msgpcode.False {
		r.fail(fmt.Errorf("%s: not a bool", name))
		return
	}
	v, err := r.dec.DecodeBool()
	r.fail(err)
	*p = v
}

// raw returns the bytes of a string or binary, still inside the body. The
// length is checked against the bytes left before anything is touched.
func (r *msgpackReader) raw(name string, binary bool) []byte {
	c := r.code()
	isBin := c == msgpcode.Bin8 || c == msgpcode.Bin16 || c == msgpcode.Bin32
	isStr := msgpcode.IsFixedString(c) || c == msgpcode.Str8 || c == msgpcode.Str16 || c == msgpcode.Str32
	if binary && !isBin || !binary && !isStr {
		r.fail(fmt.Errorf("%s: wrong type 0x%02x", name, c))
		return nil
	}
	n, err := r.dec.DecodeBytesLen()
	if err != nil || n < 0 || n > r.src.Len() {
		r.fail(fmt.Errorf("%s: longer than the %d bytes left", name, r.src.Len()))
		return nil
	}
	at := len(r.body) - r.src.Len()
	_, err = r.src.Seek(int64(n), io.SeekCurrent)
	r.fail(err)
	return r.body[at : at+n]
}

func (r *msgpackReader) str(name string, p *string) {
	raw := r.raw(name, false)
	if !utf8.Valid(raw) {
		r.fail(fmt.Errorf("%s: not UTF-8", name))
	}
	*p = string(raw)
}

func (r *msgpackReader) data(name string, p *[]byte) { *p = bytes.Clone(r.raw(name, true)) }

func (r *msgpackReader) nonce(name string, p *Nonce) {
	b := r.raw(name, true)
	if len(b) != len(p) {
		r.fail(fmt.Errorf("%s: %d bytes, want %d", name, len(b), len(p)))
		return
	}
	copy(p[:], b)
}

func (r *msgpackReader) count(name string, _ int) int {
	if c := r.code(); !msgpcode.IsFixedArray(c) && c != msgpcode.Array16 && c != msgpcode.Array32 {
		r.fail(fmt.Errorf("%s: not a list", name))
		return 0
	}
	n, err := r.dec.DecodeArrayLen()
	if err != nil || n < 0 || n > r.src.Len() {
		r.fail(fmt.Errorf("%s: more elements than the %d bytes left", name, r.src.Len()))
		return 0
	}
	return n
}

func (r *msgpackReader) object(name string, fields int, body func(coder)) {
	if n := r.count(name, 0); n != fields {
		r.fail(fmt.Errorf("%s: %d fields, want %d", name, n, fields))
		return
	}
	body(r)
}

func (r *msgpackReader) origin(name string, p *Origin) {
	if c := r.code(); msgpcode.IsFixedArray(c) {
		r.object(name, 2, func(coder) {
			r.str("node", &p.Node)
			r.uint("epoch", &p.Epoch)
		})
		r.origins = append(r.origins, *p)
		return
	}
	var n uint64
	r.uint(name, &n)
	if n >= uint64(len(r.origins)) {
		r.fail(fmt.Errorf("%s: origin %d of %d", name, n, len(r.origins)))
		return
	}
	*p = r.origins[n]
}
