package oplog_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"replicator/oplog"
)

// list and raw let pack write bodies that no correct master would.
type (
	list []any
	raw  []byte
)

// pack writes values after the version byte: numbers, strings, binaries, bools,
// lists of these, and raw bytes as they are.
func pack(tb testing.TB, values ...any) []byte {
	tb.Helper()
	buf := bytes.NewBuffer([]byte{0x01})
	enc := msgpack.NewEncoder(buf)
	enc.UseCompactInts(true)
	var put func(v any)
	put = func(v any) {
		switch v := v.(type) {
		case list:
			if err := enc.EncodeArrayLen(len(v)); err != nil {
				tb.Fatal(err)
			}
			for _, item := range v {
				put(item)
			}
		case raw:
			buf.Write(v)
		default:
			if err := enc.Encode(v); err != nil {
				tb.Fatal(err)
			}
		}
	}
	for _, v := range values {
		put(v)
	}
	return buf.Bytes()
}

var (
	aNonce    = append([]byte{1}, make([]byte, 15)...)
	aSession  = list{7, aNonce, aNonce}
	anOrigin  = list{"paris", 7}
	pageHead  = list{9, aSession, 1}
	beginHead = list{8, aSession, false}
)

// refused wants body to be refused for that one reason.
func refused(tb testing.TB, body []byte, reason error) {
	tb.Helper()
	m, err := oplog.Decode(body)
	if err == nil {
		tb.Errorf("%.300q decoded as %+v", body, m)
		return
	}
	for _, e := range []error{oplog.ErrMalformed, oplog.ErrKind, oplog.ErrVersion} {
		if errors.Is(err, e) != errors.Is(e, reason) {
			tb.Errorf("%.300q: error %q, want %q and no other", body, err, reason)
			return
		}
	}
	if len(err.Error()) > 1000 {
		tb.Errorf("error of %d bytes", len(err.Error()))
	}
}

func TestHostileMsgpackIsRefused(t *testing.T) {
	entry := func(change int, v any) list {
		e := list{[]byte("k"), []byte("v"), 9, anOrigin, 5, 0, 0, "", list{}, list{}}
		if change >= 0 {
			e[change] = v
		}
		return e
	}
	page := func(entries ...any) []byte { return pack(t, append(slices.Clone(pageHead), list(entries))...) }
	begin := func(rows ...any) []byte {
		return pack(t, append(slices.Clone(beginHead), list(rows), 3, list{}, list{}, 0, 0, false, list{})...)
	}
	ack := func(number any) []byte { return pack(t, 11, aSession, "b", number) }
	decode(t, page(entry(-1, nil)))
	decode(t, begin(list{anOrigin, 1}, list{list{"paris", 8}, 1}))
	decode(t, ack(uint64(math.MaxUint64)))
	report := func(finals any, folded any) []byte {
		from := list{"paris", aNonce, aNonce, 0, "", 0, 0, false, finals}
		return pack(t, 14, from, "b", list{}, 0, folded)
	}
	decode(t, report(9, true))

	for name, body := range map[string][]byte{
		"empty":                   {},
		"version alone":           {0x01},
		"trailing byte":           append(ack(1), 0),
		"second message":          append(ack(1), ack(1)...),
		"object of too few":       pack(t, 11, list{7, aNonce}, "b", 1),
		"object of too many":      pack(t, 11, list{7, aNonce, aNonce, 1}, "b", 1),
		"no session":              pack(t, 11, list{0, aNonce, aNonce}, "b", 1),
		"session of nobody":       pack(t, 11, list{7, make([]byte, 16), aNonce}, "b", 1),
		"hlc as number":           page(`"key":"k","hlc":9,"origin":"paris/0000000000000007","seq":5`),
		"hlc too short":           page(`"key":"k","hlc":"9","origin":"paris/0000000000000007","seq":5`),
		"hlc too long":            page(`"key":"k","hlc":"00000000000000009","origin":"paris/0000000000000007","seq":5`),
		"hlc not hex":             page(`"key":"k","hlc":"000000000000000x","origin":"paris/0000000000000007","seq":5`),
		"hlc with a sign":         page(`"key":"k","hlc":"+000000000000009","origin":"paris/0000000000000007","seq":5`),
		"nonce too short":         pack(t, 11, list{7, aNonce[:15], aNonce}, "b", 1),
		"nonce too long":          pack(t, 11, list{7, append(aNonce, 1), aNonce}, "b", 1),
		"nonce as string":         pack(t, 11, list{7, string(aNonce), aNonce}, "b", 1),
		"minus one":               ack(-1),
		"minus one wide":          ack(raw{0xd3, 255, 255, 255, 255, 255, 255, 255, 255}),
		"signed type":             ack(raw{0xd0, 5}),
		"nil number":              ack(nil),
		"float":                   ack(1.0),
		"bool for a number":       ack(true),
		"string for a number":     ack("1"),
		"number for a string":     pack(t, 11, aSession, 1, 1),
		"binary for a string":     pack(t, 11, aSession, []byte("b"), 1),
		"string not UTF-8":        pack(t, 11, aSession, "b\xff", 1),
		"number for a bool":       pack(t, 8, aSession, 1, list{}, 3),
		"type as string":          pack(t, "ack", aSession, "b", 1),
		"type negative":           pack(t, -1, aSession, "b", 1),
		"int above 63 bits":       page(entry(6, uint64(math.MaxUint64))),
		"int just above 63 bits":  page(entry(6, uint64(1)<<63)),
		"negative expiry":         page(entry(6, -1)),
		"type as bytes":           page(entry(7, []byte("a/b"))),
		"type too long":           page(entry(7, strings.Repeat("x", oplog.MaxType+1))),
		"type of two lines":       page(entry(7, "a\nb")),
		"entry without its type":  page(slices.Delete(entry(-1, nil), 7, 8)),
		"batch above 32 bits":     page(entry(9, list{uint64(1) << 32, 0})),
		"batch of one":            page(entry(9, list{1})),
		"batch of three":          page(entry(9, list{1, 1, 1})),
		"batch of nothing":        page(entry(9, list{0, 0})),
		"batch before seq 1":      page(entry(9, list{5, 0})),
		"two previous stamps":     page(entry(8, list{list{1, anOrigin, 1}, list{1, anOrigin, 1}})),
		"previous stamp of none":  page(entry(8, list{list{0, list{"", 0}, 0}})),
		"previous stamp later":    page(entry(8, list{list{10, 0, 1}})),
		"tombstone with a value":  page(entry(5, 1)),
		"no key":                  page(entry(0, []byte{})),
		"key as string":           page(entry(0, "k")),
		"key too long":            page(entry(0, make([]byte, oplog.MaxKey+1))),
		"origin never told":       page(entry(3, 0)),
		"origin out of range":     page(entry(-1, nil), entry(3, 1)),
		"origin far out of range": page(entry(3, uint64(math.MaxUint64))),
		"origin negative":         page(entry(-1, nil), entry(3, -1)),
		"origin of one":           page(entry(3, list{"paris"})),
		"origin of three":         page(entry(3, list{"paris", 7, 7})),
		"origin of no epoch":      page(entry(3, list{"paris", 0})),
		"origin of a bad name":    page(entry(3, list{"a.b", 7})),
		"folded by no list":       report(0, true),
		"folded by a number":      report(9, 1),
		"clock out of order":      begin(list{list{"paris", 8}, 1}, list{anOrigin, 1}),
		"clock row twice":         begin(list{anOrigin, 1}, list{0, 2}),
		"clock row of zero":       begin(list{anOrigin, 0}),
		"clock row of nobody":     begin(list{list{"", 7}, 1}),
		"clock row of no epoch":   begin(list{list{"paris", 0}, 1}),
		"page without a number":   pack(t, 9, aSession, 0, list{}),
		"entry for a list":        pack(t, 9, aSession, 1, 0),
		"map for a list":          pack(t, 9, aSession, 1, raw{0x80}),
		"list claims 4 GiB":       pack(t, 9, aSession, 1, raw{0xdd, 255, 255, 255, 255}),
		"list claims too many":    pack(t, 9, aSession, 1, raw{0xdd, 0, 2, 0, 1}, raw(make([]byte, 1<<18))),
		"list header cut":         pack(t, 9, aSession, 1, raw{0xdd, 0, 0}),
		"object claims 4 GiB":     pack(t, 11, raw{0xdd, 255, 255, 255, 255}),
		"string claims 4 GiB":     pack(t, 11, aSession, raw{0xdb, 255, 255, 255, 255}),
		"binary claims 4 GiB":     page(entry(0, raw{0xc6, 255, 255, 255, 255})),
		"binary claims one more":  pack(t, 10, aSession, 1, 1, true, raw{0xc4, 2, 0}),
		"nested":                  append([]byte{0x01}, bytes.Repeat([]byte{0x91}, 1<<20)...),
		"nested in a page":        pack(t, 9, aSession, 1, raw(bytes.Repeat([]byte{0x91}, 1<<20))),
		"nested in an origin":     page(entry(3, raw(bytes.Repeat([]byte{0x92}, 1<<20)))),
		"extension":               pack(t, 11, raw{0xc7, 255, 1}),
		"never used":              pack(t, 11, raw{0xc1}),
	} {
		t.Run(name, func(t *testing.T) { refused(t, body, oplog.ErrMalformed) })
	}

	t.Run("unknown type", func(t *testing.T) {
		for _, kind := range []any{0, 19, 255, 65535, 65536, 65537, uint64(math.MaxUint64)} {
			refused(t, pack(t, kind), oplog.ErrKind)
		}
	})
	t.Run("unknown flag", func(t *testing.T) {
		for _, flags := range []any{2, 3, 128, 256, uint64(math.MaxUint64)} {
			refused(t, page(entry(5, flags)), oplog.ErrKind)
		}
	})
	t.Run("unknown version", func(t *testing.T) {
		for v := range 256 {
			if v != 0x01 && v != '{' {
				refused(t, append([]byte{byte(v)}, ack(1)[1:]...), oplog.ErrVersion)
			}
		}
	})
}

func TestHostileJSONIsRefused(t *testing.T) {
	const session = `"session":{"id":"0000000000000007","puller":"01000000000000000000000000000000"}`
	ack := func(rest string) string { return `{"v":1,"type":"ack",` + session + `,"bucket":"b"` + rest + `}` }
	page := func(entry string) string {
		return `{"v":1,"type":"page",` + session + `,"number":1,"entries":[{` + entry + `}]}`
	}
	begin := func(rows string) string { return `{"v":1,"type":"begin",` + session + `,"clock":[` + rows + `]}` }
	const stamp = `,"hlc":"0000000000000009","origin":"paris/0000000000000007","seq":5`
	decode(t, []byte(ack(`,"number":18446744073709551615`)))
	decode(t, []byte(" " + page(`"key":"k"`+stamp) + " \n")[1:])
	decode(t, []byte(page(`"key_b64":"/w=="`+stamp)))
	decode(t, []byte("{\n \"v\" : 1 ,\t\"type\" : \"ack\" ,\r\n"+session+" }"))

	for name, body := range map[string]string{
		"open":                      `{`,
		"empty":                     `{"v":1,"type":"ack"}`,
		"two":                       ack("") + ack(""),
		"trailing brace":            ack("") + "}",
		"unknown field":             ack(`,"x":1`),
		"unknown field in a group":  `{"v":1,"type":"ack","session":{"id":"0000000000000007","puller":"01000000000000000000000000000000","x":0}}`,
		"unknown field in an entry": page(`"key":"k","x":0` + stamp),
		"field in other case":       ack(`,"Number":1`),
		"field twice":               ack(`,"number":1,"number":1`),
		"version twice":             ack(`,"v":1`),
		"bytes twice":               page(`"key":"k","key_b64":"aw=="` + stamp),
		"a hundred fields":          ack(strings.Repeat(`,"x":1`, 100)),
		"version as string":         `{"v":"1","type":"ack",` + session + `}`,
		"version null":              `{"v":null,"type":"ack",` + session + `}`,
		"type as number":            `{"v":1,"type":11,` + session + `}`,
		"minus one":                 ack(`,"number":-1`),
		"above 64 bits":             ack(`,"number":18446744073709551616`),
		"far above 64 bits":         ack(`,"number":1` + strings.Repeat("0", 1000)),
		"fraction":                  ack(`,"number":1.0`),
		"exponent":                  ack(`,"number":1e3`),
		"string for a number":       ack(`,"number":"1"`),
		"number for a string":       `{"v":1,"type":"ack",` + session + `,"bucket":1}`,
		"list for an object":        `{"v":1,"type":"ack","session":[]}`,
		"object for a list":         `{"v":1,"type":"page",` + session + `,"number":1,"entries":{}}`,
		"number for an entry":       `{"v":1,"type":"page",` + session + `,"number":1,"entries":[1]}`,
		"bool in other words":       `{"v":1,"type":"begin",` + session + `,"key_order":1}`,
		"int above 63 bits":         page(`"key":"k","expiry":9223372036854775808` + stamp),
		"no key":                    page(stamp[1:]),
		"key not base64":            page(`"key_b64":"?"` + stamp),
		"key in loose base64":       page(`"key_b64":"/x=="` + stamp),
		"batch of one":              page(`"key":"k","batch":[1]` + stamp),
		"batch above 32 bits":       page(`"key":"k","batch":[4294967296,1]` + stamp),
		"origin without an epoch":   page(`"key":"k","hlc":"0000000000000009","origin":"paris","seq":5`),
		"origin of epoch zero":      page(`"key":"k","hlc":"0000000000000009","origin":"paris/0000000000000000","seq":5`),
		"hlc as number":             page(`"key":"k","hlc":9,"origin":"paris/0000000000000007","seq":5`),
		"hlc too short":             page(`"key":"k","hlc":"9","origin":"paris/0000000000000007","seq":5`),
		"hlc too long":              page(`"key":"k","hlc":"00000000000000009","origin":"paris/0000000000000007","seq":5`),
		"hlc not hex":               page(`"key":"k","hlc":"000000000000000x","origin":"paris/0000000000000007","seq":5`),
		"hlc with a sign":           page(`"key":"k","hlc":"+000000000000009","origin":"paris/0000000000000007","seq":5`),
		"nonce too short":           `{"v":1,"type":"ack","session":{"id":"0000000000000007","puller":"01"}}`,
		"clock row twice":           begin(`{"origin":"a/0000000000000001","seq":1},{"origin":"a/0000000000000001","seq":2}`),
		"clock out of order":        begin(`{"origin":"b/0000000000000001","seq":1},{"origin":"a/0000000000000001","seq":2}`),
		"clock row of zero":         begin(`{"origin":"a/0000000000000001"}`),
		"clock row of nothing":      begin(`{}`),
		"not UTF-8":                 page("\"key\":\"\xff\"" + stamp),
		"nested lists":              `{"v":1,"type":"page",` + session + `,"entries":` + strings.Repeat("[", 1<<20),
		"nested closed lists":       ack(`,"x":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20)),
		"nested objects":            strings.Repeat(`{"session":`, 1<<17),
		"nested within the limit":   ack(`,"number":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000)),
		"long word in an error":     ack(`,"number":"` + strings.Repeat("x", 1<<20) + `"`),
		"long name in an error":     ack(`,"` + strings.Repeat("x", 1<<20) + `":1`),
		"no list of parts":          `{"v":1,"type":"compare",` + session + `,"bucket":"b"}`,
	} {
		t.Run(name, func(t *testing.T) { refused(t, []byte(body), oplog.ErrMalformed) })
	}
	refused(t, []byte(`{"v":1,"type":"no_such"}`), oplog.ErrKind)
	refused(t, []byte(`{"v":1}`), oplog.ErrKind)
	refused(t, []byte(page(`"key":"k","flags":2`+stamp)), oplog.ErrKind)
	refused(t, []byte(`{"v":2,"type":"ack"}`), oplog.ErrVersion)
	refused(t, []byte(`{"v":2,"shape":[null]}`), oplog.ErrVersion)
}

func TestBodyAboveLimitIsRefusedUnread(t *testing.T) {
	for _, first := range []byte{0x01, '{', 0x02} {
		body := make([]byte, oplog.MaxBody+1)
		body[0] = first
		if n := allocated(func() { refused(t, body, oplog.ErrMalformed) }); n > 1<<16 {
			t.Errorf("%d bytes allocated", n)
		}
	}
}

// Whatever stands in a Live message has to be what a master could have committed.
func TestLiveHasToCoverItsRange(t *testing.T) {
	origin := oplog.Origin{Node: "paris", Epoch: 7}
	entry := func(seq oplog.Seq) oplog.Entry {
		return oplog.Entry{Key: []byte("k"), Stamp: oplog.Stamp{HLC: 9, Origin: origin, Seq: seq}}
	}
	for name, c := range map[string]struct {
		change func(*oplog.Live)
		ok     bool
	}{
		"as it is":              {func(*oplog.Live) {}, true},
		"holes":                 {func(m *oplog.Live) { m.Entries = m.Entries[2:] }, true},
		"empty values":          {func(m *oplog.Live) { m.Entries[0].Value = []byte{} }, true},
		"tombstone":             {func(m *oplog.Live) { m.Entries[2].Tombstone = true }, true},
		"tombstone and value":   {func(m *oplog.Live) { m.Entries[2].Tombstone, m.Entries[2].Value = true, []byte("v") }, false},
		"announced":             {func(m *oplog.Live) { m.Size, m.Entries = 1, nil }, true},
		"announced and sent":    {func(m *oplog.Live) { m.Size = 1 }, false},
		"last is missing":       {func(m *oplog.Live) { m.Entries = m.Entries[:2] }, false},
		"none":                  {func(m *oplog.Live) { m.Entries = nil }, false},
		"twice":                 {func(m *oplog.Live) { m.Entries[1] = m.Entries[0] }, false},
		"out of order":          {func(m *oplog.Live) { m.Entries[0], m.Entries[1] = m.Entries[1], m.Entries[0] }, false},
		"before the range":      {func(m *oplog.Live) { m.First = 6 }, false},
		"after the range":       {func(m *oplog.Live) { m.Last = 6 }, false},
		"other epoch":           {func(m *oplog.Live) { m.Entries[1].Stamp.Origin.Epoch++ }, false},
		"other node":            {func(m *oplog.Live) { m.Origin.Node = "rome" }, false},
		"range of nothing":      {func(m *oplog.Live) { m.First = 8 }, false},
		"from zero":             {func(m *oplog.Live) { m.First = 0 }, false},
		"bad bucket":            {func(m *oplog.Live) { m.Bucket = "a.b" }, false},
		"origin of no epoch":    {func(m *oplog.Live) { m.Origin.Epoch = 0 }, false},
		"entry without a stamp": {func(m *oplog.Live) { m.Entries[1].Stamp.HLC = 0 }, false},
	} {
		m := &oplog.Live{
			Bucket: "b", Origin: origin, First: 5, Last: 7, Nonce: nonceOf(1), Entries: []oplog.Entry{entry(5), entry(6), entry(7)},
		}
		c.change(m)
		for _, codec := range codecs {
			t.Run(name+"/"+string(codec), func(t *testing.T) {
				body := encode(t, codec, m)
				if c.ok {
					checkWire(t, m)
				} else {
					refused(t, body, oplog.ErrMalformed)
				}
			})
		}
	}
}

// What no field of a message may be, in turn for every value of every message.
func TestEveryJSONValueIsChecked(t *testing.T) {
	for name, m := range goldens() {
		t.Run(name, func(t *testing.T) {
			dec := json.NewDecoder(bytes.NewReader(encode(t, oplog.JSON, m)))
			dec.UseNumber()
			var doc map[string]any
			if err := dec.Decode(&doc); err != nil {
				t.Fatal(err)
			}
			check := func(what string) {
				body, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := oplog.Decode(body); err == nil || !errors.Is(err, oplog.ErrMalformed) {
					t.Errorf("%s: %v, %v", what, got, err)
				}
			}
			walkJSON(doc, "", func(path string, old any, set func(any)) {
				swaps := []any{nil, true, []any{}, map[string]any{}, -1, 1.5, "\u0000"}
				switch old.(type) {
				case bool:
					swaps[1] = "true"
				case []any:
					swaps[2] = "[]"
				case map[string]any:
					swaps[3] = []any{nil}
				case json.Number:
				case string:
					swaps[6] = 7
				}
				for _, swap := range swaps {
					if swap == "\u0000" && freeText(path) {
						continue
					}
					if swap == -1 && (strings.HasSuffix(path, ".started") || strings.HasSuffix(path, ".wall")) {
						continue
					}
					set(swap)
					check(fmt.Sprintf("%s as %v", path, swap))
				}
				if group, ok := old.(map[string]any); ok {
					group["extra"] = 1
					set(old)
					check(path + " with a field more")
					delete(group, "extra")
				}
				set(old)
			})
		})
	}
}

// freeText tells the strings that may be anything.
func freeText(path string) bool {
	for _, name := range []string{"key", "value", "cursor", "text", "reason", "version"} {
		if strings.HasSuffix(path, "."+name) {
			return true
		}
	}
	return path == ".bucket" // of an ack or abort: those of others fail
}

func walkJSON(v any, path string, visit func(path string, old any, set func(any))) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			old := v[name]
			if path == "" && (name == "type" || name == "v") { // these have errors of their own
				continue
			}
			visit(path+"."+name, old, func(next any) { v[name] = next })
			walkJSON(old, path+"."+name, visit)
		}
	case []any:
		for i, old := range v[:min(len(v), 3)] {
			visit(fmt.Sprintf("%s[%d]", path, i), old, func(next any) { v[i] = next })
			walkJSON(old, fmt.Sprintf("%s[%d]", path, i), visit)
		}
	}
}

// Every value of every message, replaced by what may stand nowhere; every list
// a bit longer or shorter; every body cut anywhere or followed by a byte.
func TestEveryMsgpackValueIsChecked(t *testing.T) {
	for name, m := range goldens() {
		t.Run(name, func(t *testing.T) {
			body := encode(t, oplog.Msgpack, m)
			for n := range body {
				refused(t, body[:n], oplog.ErrMalformed)
			}
			for b := range 256 {
				refused(t, append(bytes.Clone(body), byte(b)), oplog.ErrMalformed)
			}
			for at := 2; at < len(body); {
				next := at + valueLen(body[at:])
				for _, swap := range [][]byte{
					{0xc0},
					{0xc1},
					{0x80},
					{0xca, 0, 0, 0, 0},
					{0xcb, 0, 0, 0, 0, 0, 0, 0, 0},
					{0xd4, 1, 1},
					{0xc7, 1, 1, 1},
					{0xdd, 255, 255, 255, 255},
					{0xdb, 255, 255, 255, 255},
					{0xc6, 255, 255, 255, 255},
					{},
				} {
					changed := slices.Concat(body[:at], swap, body[next:])
					if _, err := oplog.Decode(changed); len(swap) == 0 && errors.Is(err, oplog.ErrKind) {
						continue // the next field moved into the place of the flags
					}
					refused(t, changed, oplog.ErrMalformed)
				}
				if c := body[at]; c > 0x90 && c < 0x9f {
					for _, other := range []byte{c - 1, c + 1} {
						changed := bytes.Clone(body)
						changed[at] = other
						if _, err := oplog.Decode(changed); err == nil {
							t.Errorf("list at %d takes %d for %d", at, other&0xf, c&0xf)
						}
					}
				}
				at = next
			}
		})
	}
}

// valueLen returns how long the first value of b is; of a list only its header.
func valueLen(b []byte) int {
	switch c := b[0]; {
	case c <= 0x7f, c >= 0xe0, c >= 0x90 && c <= 0x9f, c == 0xc2, c == 0xc3:
		return 1
	case c >= 0xa0 && c <= 0xbf:
		return 1 + int(c&0x1f)
	case c == 0xc4, c == 0xd9:
		return 2 + int(b[1])
	case c == 0xcc, c == 0xd0:
		return 2
	case c == 0xcd, c == 0xd1, c == 0xdc:
		return 3
	case c == 0xce, c == 0xd2:
		return 5
	case c == 0xcf, c == 0xd3:
		return 9
	}
	panic(fmt.Sprintf("no goldens hold a 0x%02x", b[0]))
}

// One changed byte, the first hundred in turn: no panic, and what still decodes is a
// message that survives the wire.
func TestEveryChangedByteIsSafe(t *testing.T) {
	if testing.Short() {
		t.Skip("many bodies")
	}
	for name, m := range goldens() {
		for _, c := range codecs {
			t.Run(name+"/"+string(c), func(t *testing.T) {
				body := encode(t, c, m)
				for at := range min(len(body), 100) {
					old := body[at]
					for _, b := range []byte{0, old + 1, old ^ 0x80, 0x90, 0xc0, 0xff, '"', '\\'} {
						body[at] = b
						checkDecode(t, body)
					}
					body[at] = old
				}
			})
		}
	}
}

// allocated returns how many bytes f takes from the heap in total, freed or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Bodies that are nothing but list: the promise is that they cost no more than
// a small multiple, and these here end at once.
func TestHostileBodiesCostLittle(t *testing.T) {
	const size = 1 << 20
	full := func(head []byte, unit, tail string) []byte {
		return slices.Concat(head, bytes.Repeat([]byte(unit), size/len(unit)), []byte(tail))
	}
	array := func(n uint32) raw { return binary.BigEndian.AppendUint32(raw{0xdd}, n) }
	const session = `"session":{"id":"0000000000000007","puller":"01000000000000000000000000000000"}`
	bodies := map[string][]byte{
		"claims of strings": pack(t, 11, aSession, raw{0xdb, 255, 255, 255, 255}),
		"claims of lists":   pack(t, 9, aSession, 1, array(1<<32-1)),
		"nesting":           full([]byte{0x01}, "\x91", ""),
		"json fields":       full([]byte(`{"v":1,"type":"ack"`), `,"a":0`, "}"),
		"json new fields": func() []byte {
			b := []byte(`{"v":1,"type":"ack"`)
			for i := 0; len(b) < size; i++ {
				b = fmt.Appendf(b, `,"%x":0`, i)
			}
			return append(b, '}')
		}(),
		"json numbers": full([]byte(`{"v":1,"type":"differ",`+session+`,"parts":[0`), ",0", "]}"),
		"json nesting": full([]byte(`{"v":`), "[", ""),
		"json word":    full([]byte(`{"v":1,"type":"ack","bucket":1,"`), "x", `":0}`),
	}
	for _, unit := range []string{"\x00", "\x90", "\x9a", "\xc0", "\x93", "\xc4\x00", "\xa0"} {
		bodies[fmt.Sprintf("entries of %x", unit)] = full(pack(t, 9, aSession, 1, array(1<<17)), unit, "")
		bodies[fmt.Sprintf("clock of %x", unit)] = full(pack(t, 8, aSession, false, array(oplog.MaxClock)), unit, "")
	}
	for _, unit := range []string{"0", "{}", "[]", `""`, "null", `{"key":"k"}`} {
		for _, name := range []string{"entries", "clock"} {
			for n, size := range []int{1 << 16, size} { // within the limit of elements and above
				kind := map[string]string{"entries": "page", "clock": "begin"}[name]
				head := fmt.Sprintf(`{"v":1,"type":"%s",%s,"number":1,"%s":[%s`, kind, session, name, unit)
				bodies[fmt.Sprintf("json %s of %s %d", name, unit, n)] = slices.Concat(
					[]byte(head), bytes.Repeat([]byte(","+unit), size/(len(unit)+1)), []byte("]}"))
			}
		}
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			n := allocated(func() {
				if _, err := oplog.Decode(body); err == nil {
					t.Error("decoded")
				}
			})
			if n > size/2 {
				t.Errorf("body of %d bytes took %d", len(body), n)
			}
		})
	}
}

// The worst that a well-formed body can do is to hold the smallest elements.
func TestSmallestElementsCostASmallMultiple(t *testing.T) {
	page := &oplog.Page{Session: oplog.Session{ID: 1, Puller: nonceOf(1)}, Number: 1}
	origin := oplog.Origin{Node: "a", Epoch: 1}
	for range 1 << 14 {
		page.Entries = append(page.Entries, oplog.Entry{Key: []byte("k"), Stamp: oplog.Stamp{HLC: 1, Origin: origin, Seq: 1}})
	}
	begin := &oplog.Begin{Session: page.Session, Clock: oplog.Clock{}}
	for epoch := range oplog.Epoch(1 << 13) {
		begin.Clock[oplog.Origin{Node: "a", Epoch: epoch + 1}] = 1
	}
	for _, m := range []oplog.Message{page, begin} {
		for _, c := range codecs {
			body := encode(t, c, m)
			n := allocated(func() { decode(t, body) })
			t.Logf("%s as %s: %d bytes took %d, %.1f times", oplog.KindOf(m), c, len(body), n, float64(n)/float64(len(body)))
			if n > uint64(len(body))*maxTimes {
				t.Errorf("%s as %s: %d bytes took %d", oplog.KindOf(m), c, len(body), n)
			}
		}
	}
}

// maxTimes is the small multiple of doc.go, counting also what is freed on the way.
const maxTimes = 50
