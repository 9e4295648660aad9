package oplog

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

func decodeJSON(body []byte) (Message, error) {
	if !json.Valid(body) || !utf8.Valid(body) {
		return nil, fmt.Errorf("%w: not JSON in UTF-8", ErrMalformed)
	}
	r := &jsonReader{}
	r.open(body)
	var version uint64
	var kind string
	r.uint("v", &version)
	r.str("type", &kind)
	switch {
	case r.err != nil:
		return nil, fmt.Errorf("%w: %w", ErrMalformed, r.err)
	case version != jsonV1:
		return nil, fmt.Errorf("%w: %d", ErrVersion, version)
	}
	m, err := newMessage(parseKind(kind))
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrKind, clip(kind))
	}
	m.code(r)
	r.checkUsed()
	if r.err == nil {
		r.err = m.check()
	}
	if r.err != nil {
		return nil, refuse(m, r.err)
	}
	return m, nil
}

// A jsonReader takes the fields of one object by name, and the elements of its
// open lists in turn. It holds parts of the body and copies only values.
type jsonReader struct {
	fields []jsonField
	lists  [][]byte // what is left of each open list
	inner  *jsonReader
	err    error
}

type jsonField struct {
	name, value []byte
}

// maxFields is more fields than any object has.
const maxFields = 16

// open starts over with the object raw. Names are taken as they are written:
// the writer has none that it would escape.
func (r *jsonReader) open(raw []byte) {
	r.fields, r.lists, r.err = r.fields[:0], r.lists[:0], nil
	if raw[0] != '{' {
		r.fail(errors.New("not an object"))
		return
	}
	for rest := raw; ; {
		var f jsonField
		if f.name, rest = nextJSON(rest); f.name == nil {
			return
		}
		f.value, rest = nextJSON(rest)
		f.name = f.name[1 : len(f.name)-1]
		if len(r.fields) == maxFields || len(f.name) > MaxName || r.find(string(f.name)) >= 0 {
			r.fail(fmt.Errorf("field %q is one too many", f.name[:min(len(f.name), MaxName)]))
			return
		}
		r.fields = append(r.fields, f)
	}
}

func (r *jsonReader) find(name string) int {
	return slices.IndexFunc(r.fields, func(f jsonField) bool { return string(f.name) == name })
}

func (r *jsonReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}
func (r *jsonReader) failed() bool  { return r.err != nil }
func (r *jsonReader) reading() bool { return true }

// take removes the named field, or the next element of the open list. It
// returns nil for a field that is absent, which stands for zero.
func (r *jsonReader) take(name string) []byte {
	if r.err != nil {
		return nil
	}
	if name != "" {
		i := r.find(name)
		if i < 0 {
			return nil
		}
		raw := r.fields[i].value
		r.fields = slices.Delete(r.fields, i, i+1)
		return raw
	}
	open := len(r.lists) - 1
	if open < 0 {
		r.fail(errors.New("element outside a list"))
		return nil
	}
	raw, rest := nextJSON(r.lists[open])
	if raw == nil {
		r.fail(errors.New("list ends early"))
	}
	r.lists[open] = rest
	return raw
}

// wrong tells that raw is not what belongs under the name.
func (r *jsonReader) wrong(name string, raw []byte) {
	r.fail(fmt.Errorf("%s: %q is not what belongs there", name, raw[:min(len(raw), 80)]))
}

func (r *jsonReader) checkUsed() {
	if len(r.fields) > 0 {
		r.fail(fmt.Errorf("unknown field %q", r.fields[0].name))
	}
}

// text returns the bytes of a string, perhaps still inside the body.
func (r *jsonReader) text(name string) (text []byte, ok bool) {
	raw := r.take(name)
	if raw == nil {
		return nil, false
	}
	if raw[0] != '"' {
		r.wrong(name, raw)
		return nil, false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], true
	}
	var s string
	r.fail(json.Unmarshal(raw, &s))
	return []byte(s), true
}

func (r *jsonReader) str(name string, p *string) {
	if text, ok := r.text(name); ok {
		*p = string(text)
	}
}

func (r *jsonReader) data(name string, p *[]byte) {
	if text, ok := r.text(name); ok {
		*p = bytes.Clone(text)
		return
	}
	text, ok := r.text(name + "_b64")
	if !ok {
		return
	}
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		r.fail(fmt.Errorf("%s_b64: not base64", name))
	}
	*p = b
}

// maxDigits is more than any number of 64 bits has.
const maxDigits = 24

func (r *jsonReader) uint(name string, p *uint64) {
	raw := r.take(name)
	if raw == nil {
		return
	}
	n, err := strconv.ParseUint(string(raw[:min(len(raw), maxDigits)]), 10, 64)
	if err != nil {
		r.wrong(name, raw)
		return
	}
	*p = n
}

func (r *jsonReader) word(name string, p *uint64) {
	text, ok := r.text(name)
	if !ok {
		return
	}
	n, err := parseHex64(string(text))
	r.fail(err)
	*p = n
}

func (r *jsonReader) int(name string, p *int64) {
	raw := r.take(name)
	if raw == nil {
		return
	}
	n, err := strconv.ParseInt(string(raw[:min(len(raw), maxDigits)]), 10, 64)
	if err != nil {
		r.wrong(name, raw)
		return
	}
	*p = n
}

func (r *jsonReader) bool(name string, p *bool) {
	switch raw := r.take(name); string(raw) {
	case "":
	case "true", "false":
		*p = raw[0] == 't'
	default:
		r.wrong(name, raw)
	}
}

func (r *jsonReader) origin(name string, p *Origin) {
	text, ok := r.text(name)
	if !ok {
		return
	}
	o, err := ParseOrigin(string(text))
	r.fail(err)
	*p = o
}

func (r *jsonReader) nonce(name string, p *Nonce) {
	text, ok := r.text(name)
	if !ok {
		return
	}
	n, err := ParseNonce(string(text))
	r.fail(err)
	*p = n
}

// object reads a group with a reader of its own, which the next group of the
// same depth uses again.
func (r *jsonReader) object(name string, _ int, body func(coder)) {
	raw := r.take(name)
	if raw == nil {
		return
	}
	if r.inner == nil {
		r.inner = &jsonReader{}
	}
	r.inner.open(raw)
	if r.inner.err == nil {
		body(r.inner)
		r.inner.checkUsed()
	}
	if r.inner.err != nil {
		r.fail(fmt.Errorf("%s: %w", name, r.inner.err))
	}
}

// count walks over the list once and keeps nothing but the number.
func (r *jsonReader) count(name string, _ int) int {
	raw := r.take(name)
	if raw != nil && raw[0] != '[' {
		r.wrong(name, raw)
		raw = nil
	}
	r.lists = append(r.lists, raw)
	n := 0
	for v, rest := nextJSON(raw); v != nil; v, rest = nextJSON(rest) {
		n++
	}
	return n
}

func (r *jsonReader) endList() { r.lists = r.lists[:len(r.lists)-1] }
