package oplog_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"replicator/oplog"
)

// anEntry returns an entry with every field set.
func anEntry() oplog.Entry {
	return oplog.Entry{
		Key: []byte("key"), Value: []byte("value"), Expiry: 1_900_000_000_000, Type: "text/plain",
		Stamp: oplog.Stamp{HLC: 1000, Origin: oplog.Origin{Node: "paris", Epoch: 7}, Seq: 9},
		Prev:  oplog.Stamp{HLC: 999, Origin: oplog.Origin{Node: "rome", Epoch: 8}, Seq: 3},

		BatchBack: 2, BatchAhead: 1,
	}
}

func TestEntryCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*oplog.Entry)
		ok     bool
	}{
		"as it is":                 {func(*oplog.Entry) {}, true},
		"empty value":              {func(e *oplog.Entry) { e.Value = nil }, true},
		"tombstone":                {func(e *oplog.Entry) { e.Tombstone, e.Value, e.Type = true, nil, "" }, true},
		"tombstone, empty value":   {func(e *oplog.Entry) { e.Tombstone, e.Value, e.Type = true, []byte{}, "" }, true},
		"tombstone with a value":   {func(e *oplog.Entry) { e.Tombstone, e.Type = true, "" }, false},
		"no key":                   {func(e *oplog.Entry) { e.Key = nil }, false},
		"longest key":              {func(e *oplog.Entry) { e.Key = make([]byte, oplog.MaxKey) }, true},
		"longer key":               {func(e *oplog.Entry) { e.Key = make([]byte, oplog.MaxKey+1) }, false},
		"longest value":            {func(e *oplog.Entry) { e.Value = make([]byte, oplog.MaxValue) }, true},
		"longer value":             {func(e *oplog.Entry) { e.Value = make([]byte, oplog.MaxValue+1) }, false},
		"tombstone with a type":    {func(e *oplog.Entry) { e.Tombstone, e.Value = true, nil }, false},
		"no type":                  {func(e *oplog.Entry) { e.Type = "" }, true},
		"longest type":             {func(e *oplog.Entry) { e.Type = strings.Repeat("x", oplog.MaxType) }, true},
		"longer type":              {func(e *oplog.Entry) { e.Type = strings.Repeat("x", oplog.MaxType+1) }, false},
		"type that ends a header":  {func(e *oplog.Entry) { e.Type = "text/html\r\nSet-Cookie: a=b" }, false},
		"type with a tab":          {func(e *oplog.Entry) { e.Type = "text/html;\tcharset=utf-8" }, false},
		"type with a zero":         {func(e *oplog.Entry) { e.Type = "text\x00html" }, false},
		"type that is not ASCII":   {func(e *oplog.Entry) { e.Type = "text/h\u00e9" }, false},
		"type with a last delete":  {func(e *oplog.Entry) { e.Type = "text/html\x7f" }, false},
		"type with a first space":  {func(e *oplog.Entry) { e.Type = " text/html" }, false},
		"type with a last space":   {func(e *oplog.Entry) { e.Type = "text/html " }, false},
		"type with inner spaces":   {func(e *oplog.Entry) { e.Type = "text/html;  x=1" }, true},
		"no timestamp":             {func(e *oplog.Entry) { e.Stamp.HLC, e.Prev = 0, oplog.Stamp{} }, false},
		"no node":                  {func(e *oplog.Entry) { e.Stamp.Origin.Node = "" }, false},
		"bad node":                 {func(e *oplog.Entry) { e.Stamp.Origin.Node = "a.b" }, false},
		"no epoch":                 {func(e *oplog.Entry) { e.Stamp.Origin.Epoch = 0 }, false},
		"no seq":                   {func(e *oplog.Entry) { e.Stamp.Seq, e.BatchBack = 0, 0 }, false},
		"replaces nothing":         {func(e *oplog.Entry) { e.Prev = oplog.Stamp{} }, true},
		"replaces itself":          {func(e *oplog.Entry) { e.Prev = e.Stamp }, false},
		"replaces a later row":     {func(e *oplog.Entry) { e.Prev.HLC = 1001 }, false},
		"replaces a bad node":      {func(e *oplog.Entry) { e.Prev.Origin.Node = "a.b" }, false},
		"replaces half a stamp":    {func(e *oplog.Entry) { e.Prev.Seq = 0 }, false},
		"negative expiry":          {func(e *oplog.Entry) { e.Expiry = -1 }, false},
		"latest expiry":            {func(e *oplog.Entry) { e.Expiry = math.MaxInt64 }, true},
		"batch from the first seq": {func(e *oplog.Entry) { e.BatchBack = 8 }, true},
		"batch before the first":   {func(e *oplog.Entry) { e.BatchBack = 9 }, false},
		"batch past the last":      {func(e *oplog.Entry) { e.Stamp.Seq = math.MaxUint64 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := anEntry()
			c.change(&e)
			if err := e.Check(); (err == nil) != c.ok {
				t.Errorf("Check() = %v, want ok %v", err, c.ok)
			}
		})
	}
}

func TestEntryHashChangesWithEachField(t *testing.T) {
	e := anEntry()
	seen := map[uint64]string{e.Hash(): "nothing"}
	for name, change := range map[string]func(*oplog.Entry){
		"key":         func(e *oplog.Entry) { e.Key = []byte("kex") },
		"longer key":  func(e *oplog.Entry) { e.Key = []byte("key\x00") },
		"value":       func(e *oplog.Entry) { e.Value = []byte("valux") },
		"no value":    func(e *oplog.Entry) { e.Value = nil },
		"hlc":         func(e *oplog.Entry) { e.Stamp.HLC++ },
		"node":        func(e *oplog.Entry) { e.Stamp.Origin.Node = "parit" },
		"longer node": func(e *oplog.Entry) { e.Stamp.Origin.Node = "paris-" },
		"epoch":       func(e *oplog.Entry) { e.Stamp.Origin.Epoch++ },
		"seq":         func(e *oplog.Entry) { e.Stamp.Seq++ },
		"tombstone":   func(e *oplog.Entry) { e.Tombstone = true },
		"expiry":      func(e *oplog.Entry) { e.Expiry++ },
		"type":        func(e *oplog.Entry) { e.Type = "text/plaim" },
		"no type":     func(e *oplog.Entry) { e.Type = "" },
		"longer type": func(e *oplog.Entry) { e.Type = "text/plainv"; e.Value = []byte("alue") },
		"type within": func(e *oplog.Entry) { e.Type = ""; e.Value = []byte("\x0atext/plainvalue") },
		"boundary":    func(e *oplog.Entry) { e.Key, e.Value = []byte("ke"), []byte("yvalue") },
	} {
		f := anEntry()
		change(&f)
		if other, ok := seen[f.Hash()]; ok {
			t.Errorf("a change of %s hashes like a change of %s", name, other)
		}
		seen[f.Hash()] = name
	}
}

// What the entry replaced and what was written beside it are history, not row:
// a donor that collected them has the same row.
func TestEntryHashLeavesOutHistory(t *testing.T) {
	e, f := anEntry(), anEntry()
	f.Prev, f.BatchBack, f.BatchAhead = oplog.Stamp{}, 0, 0
	if e.Hash() != f.Hash() {
		t.Error("history shows in the hash")
	}
}

// The hash is stored and compared between versions: it must not change.
func TestEntryHashIsReleased(t *testing.T) {
	e := anEntry()
	if got, want := e.Hash(), uint64(0x1baa2b4fe31c8646); got != want {
		t.Errorf("hash of the entry is %#x, was released as %#x", got, want)
	}
	e.Type = ""
	if got, want := e.Hash(), uint64(0x9057a90613638e5d); got != want {
		t.Errorf("hash of the entry is %#x, was released as %#x", got, want)
	}
	if got := oplog.HashPart([]byte("key")); got != 820 {
		t.Errorf("part of the key is %d, was released as 820", got)
	}
	h := oplog.HashClock(oplog.Clock{{Node: "paris", Epoch: 7}: 9})
	if got, want := h.Sum, uint64(0x03e59408b6e56c5f); got != want {
		t.Errorf("hash of the clock is %#x, was released as %#x", got, want)
	}
}

// TestHashesOfTheProtocolPage holds docs/protocol.md to them.
func TestHashesOfTheProtocolPage(t *testing.T) {
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	e := oplog.Entry{
		Key: []byte("colour"), Value: []byte("red"),
		Stamp: oplog.Stamp{HLC: 0x019b7ca98c880000, Origin: oplog.Origin{Node: "a", Epoch: 0x0102030405060708}, Seq: 1},
	}
	for _, kind := range []string{"", "text/plain"} {
		e.Type = kind
		if hash := fmt.Sprintf("`%016x`", e.Hash()); !bytes.Contains(page, []byte(hash)) {
			t.Errorf("the row with type %q has hash %s, which the page does not say", kind, hash)
		}
	}
}

func TestHashPartIsInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if p := oplog.HashPart(genBytes.Draw(t, "key")); p < 0 || p >= oplog.HashParts {
			t.Fatalf("part %d", p)
		}
	})
}

func TestEntryIsHiddenFromItsExpiry(t *testing.T) {
	at := time.UnixMilli(5000)
	for name, c := range map[string]struct {
		e    oplog.Entry
		live bool
	}{
		"for ever":            {oplog.Entry{}, true},
		"later":               {oplog.Entry{Expiry: 5001}, true},
		"now":                 {oplog.Entry{Expiry: 5000}, false},
		"before":              {oplog.Entry{Expiry: 1}, false},
		"tombstone":           {oplog.Entry{Tombstone: true}, false},
		"expired tombstone":   {oplog.Entry{Tombstone: true, Expiry: 1}, false},
		"tombstone with time": {oplog.Entry{Tombstone: true, Expiry: 6000}, false},
	} {
		if got := c.e.Live(at); got != c.live {
			t.Errorf("%s: Live = %v, want %v", name, got, c.live)
		}
	}
}

// Size is what batches are cut by, so it must not promise less than msgpack takes.
func TestEntrySizeIsAnUpperBoundInMsgpack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEntry.Draw(t, "entry")
		if rapid.Bool().Draw(t, "long") {
			e.Key, e.Value = bytes.Repeat(e.Key, 20), bytes.Repeat(e.Value, 2000)
		}
		page := func(list ...oplog.Entry) int {
			body, err := oplog.Encode(oplog.Msgpack, &oplog.Page{Number: 1, Entries: list})
			if err != nil {
				t.Fatal(err)
			}
			return len(body)
		}
		if got := page(e) - page(); got > e.Size()+slack {
			t.Fatalf("entry takes %d bytes, Size says %d", got, e.Size())
		}
	})
}

// slack is by how much numbers of 64 bits in every field may exceed Size: two
// stamps of four, expiry and batch.
const slack = 32

// TestMaxSizeBoundsBothCodecs: pages are filled by it up to what a body may have.
func TestMaxSizeBoundsBothCodecs(t *testing.T) {
	hard := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte{0, '\n', 0x1f, '"', '\\', 'a', 0x7f, '<', 0xff}), 1, 300), func(b []byte) []byte { return b })
	lines := rapid.Map(rapid.StringOfN(rapid.SampledFrom([]rune{'\u2028', '\u2029', '\t', 'é', '&'}), 1, 60, -1), func(s string) []byte { return []byte(s) })
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(genEntry, 1, 8).Draw(t, "entries")
		size := 0
		for i := range entries {
			e := &entries[i]
			if e.Key = rapid.OneOf(hard, lines).Draw(t, "key"); !e.Tombstone {
				e.Value = rapid.OneOf(hard, lines).Draw(t, "value")
			}
			size += e.MaxSize()
		}
		for _, c := range codecs {
			empty := pageBody(t, c, nil)
			if full := pageBody(t, c, entries); len(full)-len(empty) > size+64 {
				t.Fatalf("%s: %d bytes, at most %d were said", c, len(full)-len(empty), size)
			}
		}
	})
}

func pageBody(t *rapid.T, c oplog.Codec, entries []oplog.Entry) []byte {
	body, err := oplog.Encode(c, &oplog.Page{Session: oplog.Session{ID: 1, Puller: nonceOf(1), Donor: nonceOf(2)}, Number: 1, Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	return body
}
