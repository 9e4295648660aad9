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

// The JSON form of a message is one object: "v", "type", then its fields by
// name. Fields that are zero are left out. Bytes are a string where they are
// UTF-8 and base64 under NAME_b64 where they are not. Hashes, epochs, session
// ids and timestamps are 16 hex digits: many readers of JSON hold a number as a
// float64, which rounds above 2^53, and text of one length sorts as its number.

func encodeJSON(m Message) ([]byte, error) {
	w := &jsonWriter{}
	w.buf = fmt.Appendf(w.buf, `{"v":%d,"type":%q`, jsonV1, m.kind().String())
	m.code(w)
	w.buf = append(w.buf, '}')
	if w.err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.kind(), w.err)
	}
	return w.buf, nil
}

type jsonWriter struct {
	buf   []byte
	lists []bool // the open lists: whether each was written
	err   error
}

// name writes what stands before a value: a comma unless it is the first of
// its group, and its name unless it is an element of a list.
func (w *jsonWriter) name(name string) {
	if last := w.buf[len(w.buf)-1]; last != '{' && last != '[' {
		w.buf = append(w.buf, ',')
	}
	if name != "" {
		w.buf = append(append(append(w.buf, '"'), name...), '"', ':')
	}
}

// text writes s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func (w *jsonWriter) text(s string) {
	if plain(s) {
		w.buf = append(append(append(w.buf, '"'), s...), '"')
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		w.fail(err)
		return
	}
	w.buf = append(w.buf, bytes.TrimSuffix(b.Bytes(), []byte{'\n'})...)
}

// plain reports whether s is its own JSON string.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func (w *jsonWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
func (w *jsonWriter) failed() bool  { return w.err != nil }
func (w *jsonWriter) reading() bool { return false }

func (w *jsonWriter) str(name string, p *string) {
	if *p != "" || name == "" {
		w.name(name)
		w.text(*p)
	}
}

func (w *jsonWriter) uint(name string, p *uint64) {
	if *p != 0 || name == "" {
		w.name(name)
		w.buf = strconv.AppendUint(w.buf, *p, 10)
	}
}

func (w *jsonWriter) word(name string, p *uint64) {
	if *p != 0 || name == "" {
		w.name(name)
		w.buf = fmt.Appendf(w.buf, `"%016x"`, *p)
	}
}

func (w *jsonWriter) int(name string, p *int64) {
	if *p != 0 || name == "" {
		w.name(name)
		w.buf = strconv.AppendInt(w.buf, *p, 10)
	}
}

func (w *jsonWriter) bool(name string, p *bool) {
	if *p || name == "" {
		w.name(name)
		w.buf = strconv.AppendBool(w.buf, *p)
	}
}

// escapes is how many bytes a text may be longer, by its escapes, than the same
// bytes in base64. Without an end to it 16 MiB of zero bytes, which are UTF-8,
// would make a body of 96 MiB that nobody takes.
const escapes = 64

// entryJSON is the most that an entry takes beside its key, value and names.
const entryJSON = 320

// jsonSize is the most bytes that data writes, without the field's name.
func jsonSize(p []byte) int {
	encoded := base64.StdEncoding.EncodedLen(len(p)) + escapes
	if !utf8.Valid(p) {
		return encoded
	}
	text := len(p)
	for _, c := range p {
		switch {
		case c < ' ' || c == 0x7f:
			text += 5
		case c == '"' || c == '\\':
			text++
		case c == 0xe2: // perhaps U+2028 or U+2029, which are written as escapes
			text += 3
		}
	}
	return min(text, encoded)
}

func (w *jsonWriter) data(name string, p *[]byte) {
	if len(*p) == 0 {
		return
	}
	before := len(w.buf)
	if utf8.Valid(*p) {
		w.name(name)
		at := len(w.buf)
		w.text(string(*p))
		if len(w.buf)-at <= base64.StdEncoding.EncodedLen(len(*p))+escapes {
			return
		}
		w.buf = w.buf[:before]
	}
	w.name(name + "_b64")
	w.buf = append(w.buf, '"')
	w.buf = base64.StdEncoding.AppendEncode(w.buf, *p)
	w.buf = append(w.buf, '"')
}

func (w *jsonWriter) origin(name string, p *Origin) {
	if !p.IsZero() || name == "" {
		w.name(name)
		w.text(p.String())
	}
}

func (w *jsonWriter) nonce(name string, p *Nonce) {
	if !p.IsZero() {
		w.name(name)
		w.text(p.String())
	}
}

func (w *jsonWriter) object(name string, _ int, body func(coder)) {
	before := len(w.buf)
	w.name(name)
	w.buf = append(w.buf, '{')
	open := len(w.buf)
	body(w)
	if len(w.buf) == open && name != "" {
		w.buf = w.buf[:before] // all fields zero
		return
	}
	w.buf = append(w.buf, '}')
}

func (w *jsonWriter) count(name string, n int) int {
	written := n > 0 || name == ""
	w.lists = append(w.lists, written)
	if written {
		w.name(name)
		w.buf = append(w.buf, '[')
	}
	return n
}

func (w *jsonWriter) endList() {
	last := len(w.lists) - 1
	if w.lists[last] {
		w.buf = append(w.buf, ']')
	}
	w.lists = w.lists[:last]
}

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
