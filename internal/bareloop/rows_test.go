package bareloop

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"replicator/oplog"
	"replicator/store"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// tableLost is where the store keeps what lost to another write, and the loop does not.
const tableLost = 0x1a

// A pair is a loop and a real store that are given the same work.
type pair struct {
	loop              *Store
	real              *store.Store
	bucket            *store.Bucket
	loopDir, storeDir string
	written           [][]byte      // messages of the loop's Write
	entries           []*oplog.Live // the same of the store's
	seqs              uint64
}

func newPair(t *testing.T, node string, epoch oplog.Epoch) *pair {
	t.Helper()
	p := &pair{loopDir: t.TempDir(), storeDir: t.TempDir()}
	nonce := oplog.Nonce{1, 2, 3, byte(epoch)}
	var err error
	if p.loop, err = Open(p.loopDir, Options{Node: node, Nonce: nonce, Epoch: epoch}); err != nil {
		t.Fatal(err)
	}
	kv, err := store.OpenPebble(p.storeDir, store.PebbleOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p.real, err = store.Open(kv, noon, store.Options{Node: node, Nonce: nonce, Epoch: func() oplog.Epoch { return epoch }})
	if err != nil {
		t.Fatal(err)
	}
	if p.bucket, err = p.real.Join(Bucket); err != nil {
		t.Fatal(err)
	}
	return p
}

// write gives both the same group of puts.
func (p *pair) write(t *testing.T, keys ...int) {
	t.Helper()
	var ops []Op
	var real []store.Op
	for _, k := range keys {
		p.seqs++
		key, value := fmt.Appendf(nil, "key-%016d", k), fmt.Appendf(nil, "value %d of %d", p.seqs, k)
		ops = append(ops, Op{Key: key, Value: value})
		real = append(real, store.Op{Key: key, Value: value})
	}
	now := noon.Add(time.Duration(p.seqs) * time.Microsecond)
	msg, err := p.loop.Write(now, ops, nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := p.bucket.Write(now, real)
	if err != nil {
		t.Fatal(err)
	}
	p.written = append(p.written, msg)
	p.entries = append(p.entries, &oplog.Live{Bucket: Bucket, Origin: w.Origin, First: w.First, Last: w.Last, Entries: w.Entries})
}

// apply gives both what another pair wrote.
func (p *pair) apply(t *testing.T, from *pair, messages ...int) {
	t.Helper()
	var loop [][]byte
	var real []*oplog.Live
	for _, i := range messages {
		loop = append(loop, from.written[i])
		real = append(real, from.entries[i])
	}
	if err := p.loop.Apply(loop, nil); err != nil {
		t.Fatal(err)
	}
	if a, err := p.bucket.ApplyLive(noon.Add(time.Hour), real); err != nil || len(a.Refused) > 0 || a.Gaps > 0 {
		t.Fatal(err, a)
	}
}

// same closes both and compares every pair on their disks.
func (p *pair) same(t *testing.T) {
	t.Helper()
	if err := p.loop.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.real.Close(); err != nil {
		t.Fatal(err)
	}
	got, want := contents(t, p.loopDir), contents(t, p.storeDir)
	for key, value := range want {
		if key[0] == tableLost {
			continue
		}
		if other, ok := got[key]; !ok || !bytes.Equal(other, value) {
			t.Errorf("row %x: the store has %x, the loop %x (%v)", key, value, other, ok)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("row %x: the loop alone has it", key)
		}
	}
	if len(want) < 10 {
		t.Errorf("%d rows compared", len(want))
	}
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{ReadOnly: true, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only read
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for ok := it.First(); ok; ok = it.Next() {
		all[string(it.Key())] = bytes.Clone(it.Value())
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWritesTheRowsOfTheStore(t *testing.T) {
	a, b := newPair(t, "a", 7), newPair(t, "b", 9)
	a.write(t, 1, 2, 3, 4, 5)
	a.write(t, 3)
	a.write(t, 5, 6, 5) // a key twice in one group
	b.write(t, 4, 100)
	b.apply(t, a, 0, 1)
	b.apply(t, a, 2)
	b.write(t, 3, 6, 7) // over rows of the other
	a.apply(t, b, 0, 1)
	a.same(t)
	b.same(t)
}

// joins gives an empty pair what the other one holds, in pages of a few rows. It stops
// before the end if told so.
func (p *pair) joins(t *testing.T, from *pair, way Way, whole bool) {
	t.Helper()
	rows, err := from.bucket.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // only read
	loopSnap, err := from.loop.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer loopSnap.Close() //nolint:errcheck // only read
	var entries []oplog.Entry
	for e, err := range rows.Rows(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	at := 0
	err = loopSnap.Stream(200, func(msg []byte) error {
		switch msg[0] {
		case msgBegin:
			return p.loop.begun(way, msg)
		case msgEnd:
			if !whole {
				return nil
			}
			if err := p.bucket.EndPull(noon, rows.Clock, rows.Ahead); err != nil {
				return err
			}
			return p.loop.end()
		}
		n := rowsOf(t, msg)
		page := entries[at : at+n]
		at += n
		token := &store.Token{Cursor: page[n-1].Key, Claim: rows.Clock}
		if _, err := p.bucket.ApplyPage(noon.Add(time.Hour), page, token); err != nil {
			return err
		}
		return p.loop.page([][]byte{msg})
	})
	if err != nil {
		t.Fatal(err)
	}
	if at != len(entries) || at < 20 {
		t.Fatalf("%d of %d rows came", at, len(entries))
	}
}

func rowsOf(t *testing.T, page []byte) (n int) {
	t.Helper()
	d := decoder{b: page[1:]}
	for ; len(d.b) > 0; n++ {
		d.bytes()
		d.bytes()
	}
	if d.err != nil {
		t.Fatal(d.err)
	}
	return n
}

func TestCatchesUpToTheRowsOfTheStore(t *testing.T) {
	for _, way := range []Way{Ingest, Merge, Blind} {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprintf("way=%d/whole=%v", way, whole), func(t *testing.T) {
				a, b := newPair(t, "a", 7), newPair(t, "b", 9)
				for i := range 10 {
					a.write(t, i, i+20, 7*i)
				}
				b.joins(t, a, way, whole)
				b.same(t)
			})
		}
	}
}

// TestPebbleIsSetUpAlike compares what Pebble itself writes down of its options.
func TestPebbleIsSetUpAlike(t *testing.T) {
	p := newPair(t, "a", 7)
	got, want := optionsIn(t, p.loopDir), optionsIn(t, p.storeDir)
	if got != want {
		t.Errorf("the loop's Pebble has\n%s\nthe store's\n%s", got, want)
	}
	p.write(t, 1, 2, 3, 4, 5, 6)
	p.same(t)
}

func optionsIn(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "OPTIONS-*"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	text, err := fs.ReadFile(os.DirFS(dir), filepath.Base(files[len(files)-1]))
	if err != nil || !strings.Contains(string(text), "mem_table_size") {
		t.Fatal(err, string(text))
	}
	return regexp.MustCompile(`(?m)^.*wal_dir=.*$`).ReplaceAllString(string(text), "")
}
