package oplog

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// The JSON form of a message is one object: "v", "type", then its fields by
// name. Fields that are zero are left out. Bytes are a string where they are
// UTF-8 and base64 under NAME_b64 where they are not.

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

func (w *jsonWriter) text(s string) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		w.fail(err)
		return
	}
	w.buf = append(w.buf, bytes.TrimSuffix(b.Bytes(), []byte{'\n'})...)
}

func (w *jsonWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
func (w *jsonWriter) failed() bool { return w.err != nil }

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

func (w *jsonWriter) data(name string, p *[]byte) {
	switch {
	case len(*p) == 0:
	case utf8.Valid(*p):
		w.name(name)
		w.text(string(*p))
	default:
		w.name(name + "_b64")
		w.text(base64.StdEncoding.EncodeToString(*p))
	}
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
	r, err := readObject(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var version uint64
	var kind string
	r.uint("v", &version)
	r.str("type", &kind)
	if r.err == nil && version != jsonV1 {
		return nil, fmt.Errorf("%w: %d", ErrVersion, version)
	}
	m, err := newMessage(parseKind(kind))
	if err != nil {
		return nil, err
	}
	m.code(r)
	r.checkUsed()
	if r.err == nil {
		r.err = m.check()
	}
	if r.err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, m.kind(), r.err)
	}
	return m, nil
}

// A jsonReader holds one object, or one list whose elements are taken in turn.
type jsonReader struct {
	fields map[string]json.RawMessage
	lists  [][]json.RawMessage
	err    error
}

func readObject(raw []byte) (*jsonReader, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, errors.New("not a JSON object")
	}
	return &jsonReader{fields: fields}, nil
}

func (r *jsonReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}
func (r *jsonReader) failed() bool { return r.err != nil }

// take removes the named field, or the next element of the open list. It
// returns nil for a field that is absent, which stands for zero.
func (r *jsonReader) take(name string) json.RawMessage {
	if r.err != nil {
		return nil
	}
	if name != "" {
		raw := r.fields[name]
		delete(r.fields, name)
		return raw
	}
	open := len(r.lists) - 1
	if open < 0 || len(r.lists[open]) == 0 {
		r.fail(errors.New("list ends early"))
		return nil
	}
	raw := r.lists[open][0]
	r.lists[open] = r.lists[open][1:]
	return raw
}

func (r *jsonReader) value(name string, p any) bool {
	raw := r.take(name)
	if raw == nil {
		return false
	}
	if err := json.Unmarshal(raw, p); err != nil {
		r.fail(fmt.Errorf("%s: %s is not what belongs there", name, clip(string(raw))))
		return false
	}
	return true
}

func (r *jsonReader) checkUsed() {
	for name := range r.fields {
		r.fail(fmt.Errorf("unknown field %q", clip(name)))
		return
	}
}

func (r *jsonReader) str(name string, p *string)  { r.value(name, p) }
func (r *jsonReader) uint(name string, p *uint64) { r.value(name, p) }
func (r *jsonReader) int(name string, p *int64)   { r.value(name, p) }
func (r *jsonReader) bool(name string, p *bool)   { r.value(name, p) }

func (r *jsonReader) data(name string, p *[]byte) {
	var text string
	if r.value(name, &text) {
		*p = []byte(text)
		return
	}
	if !r.value(name+"_b64", &text) {
		return
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		r.fail(fmt.Errorf("%s_b64: not base64", name))
	}
	*p = b
}

func (r *jsonReader) origin(name string, p *Origin) {
	var text string
	if !r.value(name, &text) {
		return
	}
	o, err := ParseOrigin(text)
	r.fail(err)
	*p = o
}

func (r *jsonReader) nonce(name string, p *Nonce) {
	var text string
	if !r.value(name, &text) {
		return
	}
	n, err := ParseNonce(text)
	r.fail(err)
	*p = n
}

func (r *jsonReader) object(name string, _ int, body func(coder)) {
	raw := r.take(name)
	if raw == nil {
		return
	}
	inner, err := readObject(raw)
	if err != nil {
		r.fail(fmt.Errorf("%s: %w", name, err))
		return
	}
	body(inner)
	inner.checkUsed()
	r.fail(inner.err)
}

func (r *jsonReader) count(name string, _ int) int {
	var list []json.RawMessage
	r.value(name, &list)
	r.lists = append(r.lists, list)
	return len(list)
}

func (r *jsonReader) endList() { r.lists = r.lists[:len(r.lists)-1] }
