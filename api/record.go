package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"replicator/oplog"
)

// A Record is one key and what is at it, as it stands on one line of JSON in
// the API's bodies and in the files of import and export.
type Record struct {
	Key     []byte
	Value   []byte
	Bare    bool        // the line tells no value: a listed key, a delete
	Deleted bool        // the key is deleted
	Local   bool        // in a watch: written on the node that tells
	Stamp   oplog.Stamp // zero: the line tells none
	Expiry  int64       // milliseconds since 1970; 0: never
	Type    string      // content type of the value; empty: not said
	Node    string      // which node told

	// Of a record that is to be written.
	TTL time.Duration // instead of Expiry, from when a node takes it; 0: none
	If  Condition
}

// RecordOf returns e as a record with its stamp.
func RecordOf(e *oplog.Entry) Record {
	return Record{
		Key: e.Key, Value: e.Value, Bare: e.Tombstone, Deleted: e.Tombstone,
		Stamp: e.Stamp, Expiry: e.Expiry, Type: e.Type,
	}
}

// AppendJSON appends the record as one object, without the end of the line.
// Keys and values are text where they are UTF-8. A large value that text would
// blow up, for it is full of control characters, goes as base64 all the same.
func (r *Record) AppendJSON(b []byte) []byte {
	b = appendData(append(b, '{'), "key", r.Key)
	if !r.Bare {
		b = appendData(append(b, ','), "value", r.Value)
	}
	if r.Type != "" {
		b = appendText(append(b, `,"type":`...), []byte(r.Type))
	}
	if r.Deleted {
		b = append(b, `,"deleted":true`...)
	}
	if r.Local {
		b = append(b, `,"local":true`...)
	}
	if !r.Stamp.IsZero() {
		b = append(b, `,"origin":`...)
		b = appendText(b, []byte(r.Stamp.Origin.String()))
		b = strconv.AppendUint(append(b, `,"seq":`...), r.Stamp.Seq, 10)
		b = append(append(append(b, `,"hlc":"`...), r.Stamp.HLC.String()...), '"')
		b = append(append(append(b, `,"timestamp":"`...), r.Timestamp()...), '"')
	}
	if r.Expiry != 0 {
		b = append(append(append(b, `,"expiry":"`...), formatMillis(r.Expiry)...), '"')
	}
	if r.TTL != 0 {
		b = append(append(append(b, `,"ttl":"`...), r.TTL.String()...), '"')
	}
	if r.If != (Condition{}) {
		b = appendText(append(b, `,"if_local":`...), []byte(r.If.String()))
	}
	if r.Node != "" {
		b = appendText(append(b, `,"node":`...), []byte(r.Node))
	}
	return append(b, '}')
}

// Timestamp is the wall-clock part of the record's stamp, in RFC 3339.
func (r *Record) Timestamp() string { return formatMillis(r.Stamp.HLC.Millis()) }

const timeLayout = "2006-01-02T15:04:05.000Z07:00"

func formatMillis(ms int64) string { return time.UnixMilli(ms).UTC().Format(timeLayout) }

func appendData(b []byte, name string, data []byte) []byte {
	if readable(data) {
		b = append(append(append(b, '"'), name...), `":`...)
		return appendText(b, data)
	}
	b = append(append(append(b, '"'), name...), `_b64":"`...)
	return append(base64.StdEncoding.AppendEncode(b, data), '"')
}

// readable reports whether data is text, and as text not much larger than it is.
func readable(data []byte) bool {
	if !utf8.Valid(data) {
		return false
	}
	if len(data) < 1<<20 {
		return true
	}
	size := len(data)
	for _, c := range data {
		switch {
		case c < ' ':
			size += 5
		case c == '"' || c == '\\':
			size++
		}
	}
	return size <= len(data)/3*4
}

const hexDigits = "0123456789abcdef"

// appendText appends text, which is UTF-8, as a JSON string.
func appendText(b, text []byte) []byte {
	b = append(b, '"')
	from := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, text[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(b, text[from:]...), '"')
}

// recordJSON is a record as it is read. It knows all fields that any body or
// file has, so that what one verb printed another takes; an unknown one is an
// error, for it may be a value misspelt.
type recordJSON struct {
	V         int             `json:"v"`
	Key       *string         `json:"key"`
	KeyB64    *string         `json:"key_b64"`
	Value     json.RawMessage `json:"value"`
	ValueB64  *string         `json:"value_b64"`
	Deleted   bool            `json:"deleted"`
	Local     bool            `json:"local"`
	Origin    string          `json:"origin"`
	Seq       uint64          `json:"seq"`
	HLC       oplog.HLC       `json:"hlc"`
	Timestamp string          `json:"timestamp"`
	Expiry    string          `json:"expiry"`
	Type      string          `json:"type"`
	Node      string          `json:"node"`
	Create    bool            `json:"create"`
	TTL       string          `json:"ttl"`
	IfLocal   string          `json:"if_local"`
}

// orders reads what the record says of how it is to be written.
func (j *recordJSON) orders(r *Record) (err error) {
	if j.TTL != "" {
		if r.TTL, err = time.ParseDuration(j.TTL); err != nil || r.TTL <= 0 {
			return fmt.Errorf("ttl %q: want a time above 0, as 90s or 1h30m", clip(j.TTL))
		}
	}
	if r.TTL != 0 && r.Expiry != 0 {
		return errors.New("both a ttl and an expiry")
	}
	if r.Deleted && len(r.Value) > 0 {
		return errors.New("a delete has no value")
	}
	if r.Deleted && (r.TTL != 0 || r.Expiry != 0) {
		return errors.New("a delete has neither a ttl nor an expiry")
	}
	if r.Deleted && r.Type != "" {
		return errors.New("a delete has no type")
	}
	r.If, err = ParseCondition(j.IfLocal)
	return err
}

// absentText is how a Condition says that there is to be no row.
const absentText = "absent"

// ParseCondition reads what Condition.String writes.
func ParseCondition(text string) (Condition, error) {
	switch text {
	case "":
		return Condition{}, nil
	case absentText:
		return Condition{Absent: true}, nil
	}
	dot, err := oplog.ParseDot(text)
	if err != nil || dot.Seq == 0 {
		return Condition{}, fmt.Errorf("condition %q: want %s, or a revision as node/16 hex digits:number", clip(text), absentText)
	}
	return Condition{Revision: dot}, nil
}

// String returns the condition as it stands in requests: empty for none.
func (c Condition) String() string {
	switch {
	case c.Absent:
		return absentText
	case c == Condition{}:
		return ""
	}
	return c.Revision.String()
}

// op returns the write that the record stands for.
func (r *Record) op(now time.Time) WriteOp {
	op := WriteOp{Key: r.Key, Value: r.Value, Delete: r.Deleted, Expiry: r.Expiry, Type: r.Type, If: r.If}
	if r.TTL > 0 {
		op.Expiry = max(now.Add(r.TTL).UnixMilli(), now.UnixMilli()+1)
	}
	return op
}

// ParseRecord reads one line of JSON. The record owns its bytes.
func ParseRecord(line []byte) (Record, error) {
	r, _, err := parseRecord(line)
	return r, err
}

func parseRecord(line []byte) (Record, bool, error) {
	var j recordJSON
	if err := strictJSON(line, &j); err != nil {
		return Record{}, false, err
	}
	r := Record{Deleted: j.Deleted, Local: j.Local, Node: j.Node, Type: j.Type}
	var err error
	if r.Key, err = eitherData("key", j.Key, j.KeyB64); err != nil {
		return Record{}, false, err
	}
	if err := j.value(&r); err != nil {
		return Record{}, false, err
	}
	if err := j.stamp(&r); err != nil {
		return Record{}, false, err
	}
	return r, j.Create, j.orders(&r)
}

func (j *recordJSON) value(r *Record) error {
	var text *string
	if j.Value != nil {
		if err := json.Unmarshal(j.Value, &text); err != nil || text == nil {
			return errors.New("value: want a string; write other JSON as a string of JSON")
		}
	}
	if text == nil && j.ValueB64 == nil {
		r.Bare = true
		return nil
	}
	var err error
	r.Value, err = eitherData("value", text, j.ValueB64)
	return err
}

func (j *recordJSON) stamp(r *Record) error {
	if j.Origin != "" {
		o, err := oplog.ParseOrigin(j.Origin)
		if err != nil {
			return err
		}
		r.Stamp = oplog.Stamp{HLC: j.HLC, Origin: o, Seq: j.Seq}
	}
	if j.Expiry != "" {
		t, err := time.Parse(time.RFC3339, j.Expiry)
		if err != nil {
			return fmt.Errorf("expiry %q: want RFC 3339", clip(j.Expiry))
		}
		r.Expiry = t.UnixMilli()
	}
	return nil
}

// strictJSON reads one object into v and refuses what encoding/json would mend
// in silence: bytes that are not UTF-8, lone surrogates, text behind the object.
func strictJSON(body []byte, v any) error {
	switch {
	case !utf8.Valid(body):
		return errors.New("not UTF-8; write such bytes as base64 under key_b64 or value_b64")
	case loneSurrogate(body):
		return errors.New("half a surrogate pair in a string")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return plainJSONError(err)
	}
	if len(bytes.TrimSpace(body[d.InputOffset():])) > 0 {
		return errors.New("more than one JSON object")
	}
	return nil
}

func plainJSONError(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if t.Field == "" {
			return fmt.Errorf("a JSON %s, want an object", t.Value)
		}
		return fmt.Errorf("%s: a JSON %s does not belong there", t.Field, t.Value)
	}
	return fmt.Errorf("not JSON as wanted: %s", clip(err.Error()))
}

// loneSurrogate reports whether a string in body escapes half of a pair, which
// stands for no character and would be replaced.
func loneSurrogate(body []byte) bool {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		unit, ok := surrogate(body[i:])
		if !ok {
			i++ // over the escaped character
			continue
		}
		low, ok := surrogate(body[i+6:])
		if unit >= 0xdc00 || !ok || low < 0xdc00 {
			return true
		}
		i += 11
	}
	return false
}

// surrogate reads the escape b begins with, if it is one of a surrogate.
func surrogate(b []byte) (uint64, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return unit, err == nil && unit >= 0xd800 && unit < 0xe000
}

// eitherData returns the bytes that stand under name or under name_b64.
func eitherData(name string, text, b64 *string) ([]byte, error) {
	switch {
	case text != nil && b64 != nil:
		return nil, fmt.Errorf("%s and %s_b64 in one object", name, name)
	case text != nil:
		return []byte(*text), nil
	case b64 == nil:
		return nil, fmt.Errorf("no %s", name)
	}
	data, err := base64.StdEncoding.DecodeString(*b64)
	if err != nil {
		return nil, fmt.Errorf("%s_b64: not base64", name)
	}
	return data, nil
}

// clip keeps foreign text short enough for an error line.
func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
