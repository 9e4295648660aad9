package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"replicator/oplog"
)

var rewrite = flag.Bool("rewrite", false, "write golden files; never for a released version")

func origins(names ...string) *originTable {
	t := &originTable{}
	for i, name := range names {
		t.add(oplog.Origin{Node: name, Epoch: uint64(i + 1)}, true)
	}
	return t
}

func numberOf(t *originTable) func(oplog.Origin) originNo {
	return func(o oplog.Origin) originNo { n, _ := t.number(o); return n }
}

// sampleRows has one row for each combination of what a row may hold.
func sampleRows() []*row {
	a, b := oplog.Origin{Node: "n1", Epoch: 1}, oplog.Origin{Node: "node-2", Epoch: 2}
	var list []*row
	for i := range 32 {
		e := oplog.Entry{Key: []byte("key"), Value: []byte("value\x00\xff"), Stamp: oplog.Stamp{HLC: 0x0102030405060708, Origin: a, Seq: 300}}
		if i&1 != 0 {
			e.Tombstone, e.Value = true, []byte{}
		}
		if i&2 != 0 {
			e.Prev = oplog.Stamp{HLC: 7, Origin: b, Seq: 1<<64 - 1}
		}
		if i&4 != 0 {
			e.Expiry = 1<<63 - 1
		}
		if i&8 != 0 {
			e.BatchBack, e.BatchAhead = 0, 1<<32-1
		}
		if i&16 != 0 {
			e.Type = "text/plain"
		}
		list = append(list, newRow(e))
	}
	return list
}

func TestRowGolden(t *testing.T) {
	table := origins("n1", "node-2")
	var lines []string
	for _, r := range sampleRows() {
		b := appendRow(nil, r, numberOf(table))
		lines = append(lines, hex.EncodeToString(b))
		back, err := decodeRow(b, table.origin)
		if err != nil {
			t.Fatal(err)
		}
		back.Key = r.Key
		if !equal(back, r) {
			t.Fatalf("%+v\n%+v", back, r)
		}
	}
	got := strings.Join(lines, "\n") + "\n"
	if *rewrite {
		if err := os.WriteFile("testdata/row_v1.golden", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/row_v1.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Fatalf("rows are written differently now:\n%s", got)
	}
}

func equal(a, b *row) bool {
	return a.hash == b.hash && a.Stamp == b.Stamp && a.Prev == b.Prev && a.Tombstone == b.Tombstone &&
		a.Expiry == b.Expiry && a.Type == b.Type && a.BatchBack == b.BatchBack && a.BatchAhead == b.BatchAhead &&
		bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
}

func TestCorruptRowsAreNamed(t *testing.T) {
	table := origins("n1", "node-2")
	for _, r := range sampleRows() {
		b := appendRow(nil, r, numberOf(table))
		head := len(b) - len(r.Value)
		for n := range head {
			if _, err := decodeRow(b[:n], table.origin); err == nil {
				t.Fatalf("took %d of %d bytes", n, len(b))
			}
		}
	}
	m := NewMap()
	s, err := Open(m, at0, Options{Node: "n", Nonce: oplog.Nonce{1}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Join("b")
	if err != nil {
		t.Fatal(err)
	}
	batch := m.NewBatch()
	batch.Set(dataKey(b.id, []byte("k")), []byte{9})
	if err := m.Commit(batch); err != nil {
		t.Fatal(err)
	}
	var bad *CorruptError
	_, _, err = b.Get([]byte("k"))
	if !errors.As(err, &bad) || bad.Bucket != "b" || string(bad.Key) != "k" {
		t.Fatal(err)
	}
	// The own hlc is above whatever the row was, unless it came from the future.
	if _, err = b.Write(at0, []Op{{Key: []byte("k")}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err = b.Get([]byte("k")); err != nil {
		t.Fatal("a corrupt row cannot be written over:", err)
	}
	if err := s.Failed(); err != nil {
		t.Fatal("one bad row ended all writing:", err)
	}
}

func FuzzDecodeRow(f *testing.F) {
	table := origins("n1", "node-2")
	for _, r := range sampleRows() {
		f.Add(appendRow(nil, r, numberOf(table)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRow(b, table.origin)
		if err != nil {
			return
		}
		again, err := decodeRow(appendRow(nil, r, numberOf(table)), table.origin)
		if err != nil || !equal(r, again) {
			t.Fatalf("%+v\n%+v\n%v", r, again, err)
		}
	})
}
