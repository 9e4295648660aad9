package store_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"replicator/oplog"
	"replicator/store"
)

// A diskLife runs a store through all it can do with a disk, and keeps what
// the store promised until the disk failed.
type diskLife struct {
	clock oplog.Clock // of the bucket, called durable
	rows  map[string]promise
	tried map[string]promise // committed, or tried, and not called durable yet

	begun     int  // starts of the store
	answered  bool // an operation answered an error, and worked when it was tried again
	stopped   bool // read-only until it is opened again, by its own word
	collected int
	reissued  int
}

type promise struct {
	stamp oplog.Stamp
	gone  bool // a tombstone, which may be collected
}

func newDiskLife() *diskLife {
	return &diskLife{clock: oplog.Clock{}, rows: map[string]promise{}, tried: map[string]promise{}}
}

// live is two starts of the store. It returns the first error.
func (l *diskLife) live(fs vfs.FS, heals bool) error {
	for _, rounds := range []int{24, 8} {
		if err := l.start(fs, rounds, heals); err != nil {
			return err
		}
	}
	return nil
}

func (l *diskLife) start(fs vfs.FS, rounds int, heals bool) error {
	l.begun++
	kv, err := store.OpenPebble("db", store.PebbleOptions{
		FS: fs, CacheBytes: 1 << 20, MemTableBytes: 128 << 10, Logger: quiet(),
	})
	if err != nil {
		return err
	}
	start := uint64(l.begun)
	s, err := store.Open(kv, noon, store.Options{Node: "n0", Nonce: nonce(start), Epoch: epochs(start)})
	if err != nil {
		return errors.Join(err, kv.Close())
	}
	b, err := s.Join("b")
	for round := l.begun * 100; round < l.begun*100+rounds && err == nil; round++ {
		err = l.round(s, b, round)
		if err != nil && heals && s.Failed() == nil {
			l.answered = true
			err = l.round(s, b, round)
		}
	}
	if err != nil {
		return errors.Join(l.goesOn(s, b, err, heals), s.Close())
	}
	durable := b.Clock()
	if err := s.Close(); err != nil {
		return err
	}
	l.promised(durable)
	return nil
}

// goesOn returns err, and more if the store with that error does not keep to
// what is documented: it takes no writes any more, and reads go on as far as
// the disk does.
func (l *diskLife) goesOn(s *store.Store, b *store.Bucket, err error, heals bool) error {
	if b == nil || s.Failed() == nil {
		return err
	}
	l.stopped = true
	if _, again := b.Write(noon, []store.Op{put("again", "1")}); again == nil {
		return errors.Join(err, errors.New("a failed store takes writes"))
	}
	if reads := serve(b); reads != nil && heals {
		return errors.Join(err, fmt.Errorf("a failed store does not read: %w", reads))
	}
	return err
}

var diskValue = strings.Repeat("v", 6000)

func foreignTo(node, key string, seq int) oplog.Entry {
	o := oplog.Origin{Node: node, Epoch: 9}
	stamp := oplog.Stamp{HLC: oplog.HLCAt(noon), Origin: o, Seq: oplog.Seq(seq)}
	return oplog.Entry{Key: []byte(key), Value: []byte(diskValue), Stamp: stamp}
}

func (l *diskLife) round(s *store.Store, b *store.Bucket, round int) error {
	steps := []func() error{
		func() error { return l.write(b, round) },
		func() error { return l.apply(b, foreignTo("x", fmt.Sprint("live", round), int(b.Seq(x9))+1)) },
		func() error { return l.pull(b, foreignTo("y", fmt.Sprint("page", round), round), round%2 == 0) },
		func() error { return serve(b) },
		s.Sync,
	}
	if b.Reconciling() { // the round is tried again
		steps = slices.Insert(steps, 0, func() error { return l.compare(b, round) })
	}
	switch round % 8 {
	case 3:
		steps = append(steps, func() error { return l.collect(b) })
	case 6:
		steps = append(steps, func() error { return l.reconcile(b, round) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	durable := b.Clock()
	if err := s.Sync(); err != nil {
		return err
	}
	l.promised(durable)
	return nil
}

var x9 = oplog.Origin{Node: "x", Epoch: 9}

func (l *diskLife) try(e oplog.Entry) {
	l.tried[string(e.Key)] = promise{stamp: e.Stamp, gone: e.Tombstone}
}

func (l *diskLife) promised(clock oplog.Clock) {
	l.clock = clock
	maps.Copy(l.rows, l.tried)
	clear(l.tried)
}

func (l *diskLife) write(b *store.Bucket, round int) error {
	key := func(i int) string { return fmt.Sprintf("k%02d", (round*3+i)%20) }
	w, err := b.Write(noon, []store.Op{put(key(0), diskValue), put(key(1), "small"), del(key(2))})
	for _, e := range w.Entries {
		l.try(e)
	}
	return err
}

func (l *diskLife) apply(b *store.Bucket, e oplog.Entry) error {
	m := live(store.Written{Origin: e.Stamp.Origin, First: e.Stamp.Seq, Last: e.Stamp.Seq, Entries: []oplog.Entry{e}})
	_, err := b.ApplyLive(noon, []*oplog.Live{m})
	l.try(e)
	return err
}

// pull takes a page and, if told, the end of its session.
func (l *diskLife) pull(b *store.Bucket, e oplog.Entry, ends bool) error {
	claim := oplog.Clock{e.Stamp.Origin: e.Stamp.Seq}
	tok := &store.Token{Cursor: e.Key, Claim: claim}
	if _, err := b.ApplyPage(noon, []oplog.Entry{e}, tok); err != nil || !ends {
		return err
	}
	l.try(e)
	return b.EndPull(noon, claim, nil)
}

func serve(b *store.Bucket) error {
	snap, err := b.Snapshot()
	if err != nil {
		return err
	}
	for _, err = range snap.Rows(oplog.Clock{}, nil) {
		if err != nil {
			break
		}
	}
	return errors.Join(err, snap.Close())
}

func (l *diskLife) collect(b *store.Bucket) error {
	c, err := b.Collect(noon.Add(time.Minute), store.CollectOptions{Force: true, Upto: always, Limit: 100})
	l.collected += c.Tombstones
	return err
}

// reconcile takes two rows of z, and then z's word that one of them was deleted
// and collected. What others wrote, z has not seen: it is issued again.
func (l *diskLife) reconcile(b *store.Bucket, seq int) error {
	kept, gone := foreignTo("z", "zkept", 2*seq), foreignTo("z", fmt.Sprint("zgone", seq), 2*seq+1)
	if _, err := b.ApplyPage(noon, []oplog.Entry{gone, kept}, nil); err != nil {
		return err
	}
	l.try(kept)
	if err := b.EndPull(noon, oplog.Clock{gone.Stamp.Origin: gone.Stamp.Seq}, nil); err != nil {
		return err
	}
	return l.compare(b, seq)
}

func (l *diskLife) compare(b *store.Bucket, seq int) error {
	kept := foreignTo("z", "zkept", 2*seq)
	claim, guard := oplog.Clock{kept.Stamp.Origin: kept.Stamp.Seq + 1}, kept.Stamp.HLC
	st := store.Stretch{Clock: claim, GCTS: guard, HLC: guard, Entries: []oplog.Entry{kept}}
	st.Token = store.Token{Cursor: kept.Key, Claim: claim, Rec: &store.Reconcile{GCV: claim, GCTS: guard}}
	if _, err := b.Compare(noon, st); err != nil {
		return err
	}
	st.After, st.Entries = kept.Key, nil
	a, err := b.EndReconcile(noon, st, nil)
	for _, e := range a.Reissued.Entries {
		l.try(e)
	}
	l.reissued += len(a.Reissued.Entries)
	return err
}

// after opens what a power cut left of the disk, on a disk that works again.
func (l *diskLife) after(t *testing.T, fs vfs.FS) {
	t.Helper()
	kv := openPebble(t, fs, "db")
	s := open(t, kv, "n0", 9)
	b := join(t, s, "b")
	check(t, b)
	if !b.Clock().GE(l.clock) {
		t.Errorf("%v was called durable, %v is left", l.clock, b.Clock())
	}
	for key, p := range l.rows {
		if e := get(t, b, key); e.Stamp.Less(p.stamp) && (e.Key != nil || !p.gone && !l.tried[key].gone) {
			t.Errorf("%q was durable as %s, now %s", key, p.stamp, e.Stamp)
		}
	}
	write(t, b, noon, put("again", "1"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
