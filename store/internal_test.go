package store

import (
	"fmt"
	"testing"
	"time"

	"replicator/oplog"
)

var at0 = time.UnixMilli(1_800_000_000_000)

func testBucket(t *testing.T) (*Map, *Bucket) {
	t.Helper()
	m := NewMap()
	s, err := Open(m, at0, Options{Node: "n", Nonce: oplog.Nonce{1}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Join("b")
	if err != nil {
		t.Fatal(err)
	}
	return m, b
}

func foreignEntry(key string, hlc oplog.HLC, seq oplog.Seq) oplog.Entry {
	return oplog.Entry{
		Key: []byte(key), Value: []byte("v"),
		Stamp: oplog.Stamp{HLC: hlc, Origin: oplog.Origin{Node: "x", Epoch: 9}, Seq: seq},
	}
}

// TestAmbiguousPutIsIssuedAgain is rule M3 with policy keep. What anybody wrote
// since the guard beats what is issued again, however late that happens.
func TestAmbiguousPutIsIssuedAgain(t *testing.T) {
	_, b := testBucket(t)
	gcts := oplog.HLCAt(at0.Add(-time.Hour))
	if _, err := b.Write(at0, []Op{{Key: []byte("now")}}); err != nil {
		t.Fatal(err)
	}
	b.state.gcts = gcts
	deleted := foreignEntry("deleted", gcts-5, 1)
	deleted.Tombstone, deleted.Value = true, nil
	entries := []oplog.Entry{
		deleted,
		foreignEntry("deleted", gcts-1, 2), // over a tombstone that may be gone elsewhere
		foreignEntry("absent", gcts, 3),
		foreignEntry("late", gcts+1, 4),
	}
	live := &oplog.Live{Bucket: "b", Origin: entries[0].Stamp.Origin, First: 1, Last: 4, Entries: entries}
	a, err := b.ApplyLive(at0, []*oplog.Live{live})
	if err != nil {
		t.Fatal(err)
	}
	w := a.Reissued
	if len(a.Ambiguous) != 2 || len(w.Entries) != 2 || w.First != 2 || w.Last != 3 || w.Origin != b.Origin() {
		t.Fatalf("%+v", a)
	}
	for i, key := range []string{"deleted", "absent"} {
		e, _, err := b.Get([]byte(key))
		if err != nil || e.Stamp != w.Entries[i].Stamp || e.Stamp.HLC != gcts+1 || string(e.Value) != "v" || e.Prev != entries[i+1].Stamp {
			t.Fatalf("%+v %v", e, err)
		}
	}
	if e, _, _ := b.Get([]byte("late")); e.Stamp != entries[3].Stamp {
		t.Fatalf("%+v", e)
	}
	if err := b.Check(); err != nil {
		t.Fatal(err)
	}
}

func TestWriteOverACollectedTombstoneIsLater(t *testing.T) {
	_, b := testBucket(t)
	b.state.gcts = oplog.HLCAt(at0.Add(time.Hour))
	w, err := b.Write(at0, []Op{{Key: []byte("k")}})
	if err != nil || w.Entries[0].Stamp.HLC <= b.state.gcts {
		t.Fatal(w, err)
	}
	if b.HLC() > oplog.HLCAt(at0.Add(time.Minute)) {
		t.Fatal("dragged along", b.HLC())
	}
}

// TestCheckSeesEveryContradiction breaks one thing at a time.
func TestCheckSeesEveryContradiction(t *testing.T) {
	x := foreignEntry("", 1, 1).Stamp.Origin
	for name, breakIt := range map[string]func(b *Bucket, batch Batch){
		"row gone":       func(b *Bucket, k Batch) { k.Delete(dataKey(b.id, []byte("k3"))) },
		"log gone":       func(b *Bucket, k Batch) { k.Delete(logKey(b.id, b.no(x), 3)) },
		"log of nothing": func(b *Bucket, k Batch) { k.Set(logKey(b.id, b.no(x), 9), []byte("k3")) },
		"clock lower":    func(b *Bucket, k Batch) { k.Set(originKey(tableClock, b.id, b.no(x)), encodeUint64(1)) },
		"ahead extra":    func(b *Bucket, k Batch) { k.Set(originKey(tableAhead, b.id, b.no(x)), encodeUint64(9)) },
		"part":           func(b *Bucket, k Batch) { k.Set(partKey(b.id, 5), encodeUint64(5)) },
		"meta":           func(b *Bucket, k Batch) { k.Set(bucketKey(tableMeta, b.id, 0), b.state.encodeMeta()[1:]) },
		"index more":     func(b *Bucket, k Batch) { k.Set(append(bucketKey(tableTombs, b.id, 8), "12345678k"...), nil) },
		"index less": func(b *Bucket, k Batch) {
			e, _, _ := b.Get([]byte("tomb"))
			key, _ := indexKey(b.id, &e)
			k.Delete(key)
		},
		"bit flipped": func(b *Bucket, k Batch) {
			v, _, _ := b.s.kv.Get(dataKey(b.id, []byte("k2")))
			v[len(v)-1] ^= 1
			k.Set(dataKey(b.id, []byte("k2")), v)
		},
		"memory sum":   func(b *Bucket, _ Batch) { b.state.sum++ },
		"memory count": func(b *Bucket, _ Batch) { b.state.keys++ },
		"memory clock": func(b *Bucket, _ Batch) { b.state.clock[x] = 2 },
		"memory ahead": func(b *Bucket, _ Batch) { b.state.ahead[x] = 3 },
	} {
		m, b := testBucket(t)
		var entries []oplog.Entry
		for i := range oplog.Seq(4) {
			entries = append(entries, foreignEntry(fmt.Sprint("k", i+1), oplog.HLCAt(at0), i+1))
		}
		entries = append(entries, foreignEntry("tomb", oplog.HLCAt(at0), 5))
		entries[4].Tombstone, entries[4].Value = true, nil
		if _, err := b.ApplyLive(at0, []*oplog.Live{{Bucket: "b", Origin: x, First: 1, Last: 5, Entries: entries}}); err != nil {
			t.Fatal(err)
		}
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		batch := m.NewBatch()
		breakIt(b, batch)
		if err := m.Commit(batch); err != nil {
			t.Fatal(err)
		}
		if b.Check() == nil {
			t.Error("not seen:", name)
		}
	}
}

func (b *Bucket) no(o oplog.Origin) originNo {
	n, _ := b.s.origins.known(o)
	return n
}

// TestOriginNumbersSurviveAnyCrash has two buckets use an origin that neither
// has saved yet, and loses the batch that drew its number.
func TestOriginNumbersSurviveAnyCrash(t *testing.T) {
	m, b := testBucket(t)
	c, err := b.s.Join("c")
	if err != nil {
		t.Fatal(err)
	}
	n, unsaved := b.s.origins.number(oplog.Origin{Node: "x", Epoch: 9}) // as if b's batch were still on its way
	if n == 0 || !unsaved {
		t.Fatal(n, unsaved)
	}
	if _, err := c.ApplyPage(at0, []oplog.Entry{foreignEntry("k", 1, 1)}, nil); err != nil {
		t.Fatal(err)
	}
	m.Crash(1)
	s, err := Open(m, at0, Options{Nonce: oplog.Nonce{2}})
	if err != nil {
		t.Fatal(err)
	}
	c, _ = s.Bucket("c")
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	if e, ok, err := c.Get([]byte("k")); err != nil || !ok || e.Stamp.Origin.Node != "x" {
		t.Fatal(e, ok, err)
	}
}

// TestBreathCountsRowsAndBytes: a few large rows ask for a sign of life as many
// small ones do.
func TestBreathCountsRowsAndBytes(t *testing.T) {
	count := func(value []byte) (n int) {
		for b := (breath{}); !b.due(value); n++ {
		}
		return n + 1
	}
	if n := count(nil); n != breathRows {
		t.Errorf("due after %d rows without a value", n)
	}
	if n := count(make([]byte, 1<<20)); n != breathBytes>>20 {
		t.Errorf("due after %d rows of a MiB", n)
	}
}

// TestScrubStepsAreBoundedByBytes, in the rows and behind them: writes wait for
// each step.
func TestScrubStepsAreBoundedByBytes(t *testing.T) {
	_, b := testBucket(t)
	const rows = 12
	for i := range rows {
		if _, err := b.Write(at0, []Op{{Key: fmt.Appendf(nil, "k%02d", i), Value: make([]byte, scrubBytes/2)}}); err != nil {
			t.Fatal(err)
		}
	}
	s := b.Scrub()
	defer s.Close()
	steps := map[int]int{}
	for more := true; more; {
		table := s.after
		var err error
		if more, err = s.Step(); err != nil {
			t.Fatal(err)
		}
		steps[table]++
	}
	if steps[0] < rows/3 || steps[1] < rows/3 {
		t.Errorf("%d steps over %d rows of half a step, %d over their log rows", steps[0], rows, steps[1])
	}
}
