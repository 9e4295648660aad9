package oplog

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
