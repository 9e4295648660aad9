package store_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"replicator/oplog"
	"replicator/store"
)

// A fleet is two stores that write, pull and hear each other, and the record
// of all they ever wrote.
type fleet struct {
	t    *testing.T
	rnd  *rand.Rand
	now  time.Time
	b    [2]*store.Bucket
	log  map[oplog.Dot]oplog.Entry
	sent [2][]*oplog.Live
}

func (f *fleet) key() string { return fmt.Sprintf("k%d", f.rnd.IntN(12)) }

// step does one random thing with store i.
func (f *fleet) step(i int) {
	f.t.Helper()
	f.now = f.now.Add(time.Duration(f.rnd.IntN(5)-1) * time.Millisecond)
	switch f.rnd.IntN(10) {
	case 0, 1, 2, 3:
		var ops []store.Op
		for range 1 + f.rnd.IntN(4) {
			op := put(f.key(), fmt.Sprint(f.rnd.IntN(1000)))
			switch f.rnd.IntN(6) {
			case 0:
				op = del(f.key())
			case 1:
				op.Expiry = f.now.UnixMilli() + int64(f.rnd.IntN(1000))
			case 2:
				op.Type = "text/plain"
			}
			ops = append(ops, op)
		}
		w := write(f.t, f.b[i], f.now, ops...)
		if w.Last == 0 {
			return
		}
		for _, e := range w.Entries {
			f.log[e.Dot()] = e
		}
		f.sent[i] = append(f.sent[i], live(w))
	case 4, 5, 6:
		if n := len(f.sent[1-i]); n > 0 {
			at := f.rnd.IntN(n)
			apply(f.t, f.b[i], f.now, f.sent[1-i][at:min(n, at+3)]...)
		}
	case 7:
		f.cutPull(i)
	case 8:
		pull(f.t, f.b[i], f.b[1-i], f.rnd.IntN(2) == 0, 1+f.rnd.IntN(5))
	}
}

// cutPull takes a few entries of a pull and never ends it.
func (f *fleet) cutPull(i int) {
	snap, err := f.b[1-i].Snapshot()
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	entries := all(f.t, snap.Rows(f.b[i].Clock(), nil))
	entries = entries[:f.rnd.IntN(len(entries)+1)]
	tok := &store.Token{Cursor: []byte("k"), Claim: snap.Clock}
	if _, err := f.b[i].ApplyPage(f.now, entries, tok); err != nil {
		f.t.Fatal(err)
	}
}

// covered checks the clock's promise against all writes that still exist.
func (f *fleet) covered(b *store.Bucket) {
	f.t.Helper()
	for dot, e := range f.log {
		if !b.Covers(dot) {
			continue
		}
		if row := get(f.t, b, string(e.Key)); row.Stamp.Less(e.Stamp) {
			f.t.Fatalf("%s is covered, but the row of %q is %s", dot, e.Key, row.Stamp)
		}
	}
}

func (f *fleet) meet() {
	f.t.Helper()
	for range 2 {
		pull(f.t, f.b[0], f.b[1], true, 3)
		pull(f.t, f.b[1], f.b[0], false, 3)
	}
	x, y := f.b[0].Digest(), f.b[1].Digest()
	if !x.Same(y) || x.Ahead != 0 || f.b[0].Keys() != f.b[1].Keys() || f.b[0].Parts() != f.b[1].Parts() {
		f.t.Fatalf("not the same after meeting:\n%+v\n%+v", x, y)
	}
}

func TestTwoStoresConverge(t *testing.T) {
	eachSeed(t, 20, func(t *testing.T, rnd *rand.Rand) {
		t.Helper()
		p := openPebble(t, vfs.NewMem(), "db")
		f := &fleet{t: t, rnd: rnd, now: noon, log: map[oplog.Dot]oplog.Entry{}}
		f.b[0] = join(t, open(t, store.NewMap(), "n0", 1), "b")
		f.b[1] = join(t, open(t, p, "n1", 1), "b")
		for range 150 {
			f.step(rnd.IntN(2))
		}
		for _, b := range f.b {
			check(t, b)
			f.covered(b)
		}
		f.meet()
		for _, b := range f.b {
			check(t, b)
			f.covered(b)
		}
	})
}

// forget drops from the record what only store i had and lost.
func (f *fleet) forget(i int, lost oplog.Origin) {
	for dot := range f.log {
		if dot.Origin == lost && !f.b[i].Covers(dot) && !f.b[1-i].Covers(dot) {
			delete(f.log, dot)
		}
	}
}

func TestMapCrashesKeepThePromise(t *testing.T) {
	eachSeed(t, 60, func(t *testing.T, rnd *rand.Rand) {
		t.Helper()
		m := [2]*store.Map{store.NewMap(), store.NewMap()}
		var s [2]*store.Store
		f := &fleet{t: t, rnd: rnd, now: noon, log: map[oplog.Dot]oplog.Entry{}}
		start := uint64(0)
		boot := func(i int) {
			start++
			s[i] = open(t, m[i], fmt.Sprint("n", i), start)
			f.b[i] = join(t, s[i], "b")
		}
		boot(0)
		boot(1)
		for range 120 {
			i := rnd.IntN(2)
			switch rnd.IntN(12) {
			case 0:
				if err := s[i].Sync(); err != nil {
					t.Fatal(err)
				}
			case 1:
				durable, clock, own := f.b[i].Durable(), f.b[i].DurableClock(), f.b[i].Origin()
				m[i].Crash(rnd.IntN(m[i].UnsyncedCommits() + 1))
				boot(i)
				check(t, f.b[i])
				if !f.b[i].Clock().GE(clock) || f.b[i].Seq(own) < durable.Own || f.b[i].HLC() < durable.Floor {
					t.Fatalf("%+v was called durable, %v is left", durable, f.b[i].Clock())
				}
				// Without publishing after the sync only, others may hold more of
				// what was lost here; what nobody covers is gone for good.
				f.forget(i, own)
			default:
				f.step(i)
			}
			f.covered(f.b[i])
		}
		check(t, f.b[0])
		check(t, f.b[1])
		before := f.b[0].Durable()
		if err := s[0].Sync(); err != nil {
			t.Fatal(err)
		}
		if got, want := f.b[0].Durable(), f.b[0].Digest(); got.Clock != want.Clock || got.Sum != want.Sum || got.Floor != want.Floor || got.Ahead != want.Ahead {
			t.Fatalf("durable %+v then %+v, memory %+v", before, got, want)
		}
		if !f.b[0].DurableClock().Equal(f.b[0].Clock()) {
			t.Fatal(f.b[0].DurableClock(), f.b[0].Clock())
		}
	})
}

// TestEveryPrefixOfCommitsIsConsistent crashes one history at each of its commits.
func TestEveryPrefixOfCommitsIsConsistent(t *testing.T) {
	eachSeed(t, 4, func(t *testing.T, rnd *rand.Rand) {
		t.Helper()
		m := store.NewMap()
		f := &fleet{t: t, rnd: rnd, now: noon, log: map[oplog.Dot]oplog.Entry{}}
		s := open(t, m, "n0", 1)
		f.b[0] = join(t, s, "b")
		f.b[1] = join(t, open(t, store.NewMap(), "n1", 2), "b")
		for range 40 {
			f.step(0)
			f.step(1)
		}
		durable := f.b[0].DurableClock()
		for keep := range m.UnsyncedCommits() + 1 {
			c := m.Clone()
			c.Crash(keep)
			b, ok := open(t, c, "n0", 3).Bucket("b")
			if !ok {
				t.Fatal("bucket lost: joining is durable")
			}
			check(t, b)
			f.covered(b)
			if !b.Clock().GE(durable) {
				t.Fatal("less than durable")
			}
		}
	})
}

// A powerCut takes what a disk would have left when a given operation on it
// began, with any part of the unsynced data.
type powerCut struct {
	mem *vfs.MemFS
	rnd *rand.Rand // nobody else's: it is drawn from in goroutines of Pebble

	mu   sync.Mutex // guards all below
	wait int        // operations until then
	left *vfs.MemFS
}

func (c *powerCut) MaybeError(op errorfs.Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wait--; c.wait == 0 {
		c.cut()
	}
	return nil
}

func (c *powerCut) String() string { return "power cut" }

func (c *powerCut) cut() {
	c.left = c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.rnd.IntN(101), RNG: c.rnd})
}

// after returns the disk, of now if the cut has not come yet.
func (c *powerCut) after() *vfs.MemFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == nil {
		c.cut()
	}
	return c.left
}

func (c *powerCut) came() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left != nil
}

// TestPebbleCrashesKeepThePromise cuts the power in the middle of whatever the
// store, or Pebble behind it, is doing to the disk.
func TestPebbleCrashesKeepThePromise(t *testing.T) {
	eachSeed(t, 40, func(t *testing.T, rnd *rand.Rand) {
		t.Helper()
		var cut *powerCut
		var s *store.Store
		f := &fleet{t: t, rnd: rnd, now: noon, log: map[oplog.Dot]oplog.Entry{}}
		boot := func(mem *vfs.MemFS, start uint64) {
			cut = &powerCut{mem: mem, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0)), wait: 1 + rnd.IntN(150)}
			kv, err := store.OpenPebble("db", store.PebbleOptions{
				FS: errorfs.Wrap(mem, cut), CacheBytes: 1 << 20, MemTableBytes: 32 << 10, Logger: quiet(),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = kv.Close() })
			s = open(t, kv, "n0", start)
			f.b[0] = join(t, s, "b")
		}
		boot(vfs.NewCrashableMem(), 1)
		f.b[1] = join(t, open(t, store.NewMap(), "n1", 2), "b")
		var durable oplog.Digest
		var clock oplog.Clock
		var own oplog.Origin // as durable names it; the last step may have retired it
		for start := uint64(3); start < 7; start++ {
			for i := 0; i < 80 && !cut.came(); i++ {
				durable, clock = f.b[0].DurableState()
				own = f.b[0].Origin()
				f.step(rnd.IntN(2))
				if rnd.IntN(6) == 0 {
					if err := s.Sync(); err != nil {
						t.Fatal(err)
					}
				}
			}
			last := f.b[0].Origin()
			boot(cut.after(), start)
			check(t, f.b[0])
			if !f.b[0].Clock().GE(clock) || f.b[0].Seq(own) < durable.Own || f.b[0].HLC() < durable.Floor {
				t.Fatalf("%+v was called durable, %v is left", durable, f.b[0].Clock())
			}
			f.forget(0, own)
			f.forget(0, last)
			f.covered(f.b[0])
		}
	})
}
