package watch_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	"replicator/watch"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A place is where readers read: a bucket of a node, and its hub.
type place struct {
	t      *testing.T
	store  *store.Store
	bucket *store.Bucket
	hub    *watch.Hub
	marks  int
}

func newPlace(t *testing.T, name string) *place {
	t.Helper()
	s, err := store.Open(store.NewMap(), now, store.Options{Node: name, Nonce: oplog.Nonce{name[0]}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Join("orders")
	if err != nil {
		t.Fatal(err)
	}
	return &place{t: t, store: s, bucket: b, hub: watch.NewHub(watch.Limits{})}
}

func (p *place) write(op store.Op) oplog.Entry {
	p.t.Helper()
	w, err := p.bucket.Write(now, []store.Op{op})
	p.hub.QueueOwn(w)
	if err = errors.Join(err, p.store.Sync()); err != nil {
		p.t.Fatal(err)
	}
	p.hub.Release(p.bucket.DurableCovers)
	return w.Entries[0]
}

func (p *place) put(key string) oplog.Entry { return p.write(store.Op{Key: []byte(key)}) }
func (p *place) del(key string) oplog.Entry { return p.write(store.Op{Key: []byte(key), Delete: true}) }

// merged tells of a merge.
func (p *place) merged(a store.Applied, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	p.hub.QueueMerged(a)
	p.hub.Release(p.bucket.DurableCovers)
}

// pull brings entries under the clock, or only holds them as extras.
func (p *place) pull(claim oplog.Clock, entries ...oplog.Entry) {
	p.t.Helper()
	p.merged(p.bucket.ApplyPage(now, entries, nil))
	if claim != nil {
		p.merged(store.Applied{}, p.bucket.EndPull(now, claim, nil))
	}
}

// forget collects all deletes.
func (p *place) forget() {
	p.t.Helper()
	c, err := p.bucket.Collect(now.Add(time.Hour), store.CollectOptions{Force: true, Upto: 1 << 63})
	if err != nil || c.Tombstones == 0 {
		p.t.Fatalf("%d collected, %v", c.Tombstones, err)
	}
}

// reconcile compares with a donor that has no rows.
func (p *place) reconcile(donor *place) {
	p.t.Helper()
	snap, err := donor.bucket.Snapshot()
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	p.merged(p.bucket.EndReconcile(now, store.Stretch{
		Token: store.Token{Claim: snap.Clock, Rec: &store.Reconcile{GCV: snap.GCV, GCTS: snap.GCTS}},
		Clock: snap.Clock, GCTS: snap.GCTS, HLC: snap.HLC,
	}, nil))
}

// An application reads at one place.
type application struct {
	*watch.Reader
	at   *place
	told []string // a mark is "mark"; what the token covers is no part of it
}

// reads begins with a token, or at the start, and takes what is there.
func (p *place) reads(token string) (*application, error) {
	p.t.Helper()
	a := &application{Reader: watch.NewReader(p.hub, p.store, p.bucket, nil), at: p}
	if token != "" {
		if err := a.Resume(token); err != nil {
			p.t.Fatal(err)
		}
	}
	return a, a.reread(token == "")
}

func (a *application) reread(fromStart bool) error {
	snap, err := a.Join()
	if err != nil {
		a.at.t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	for e, err := range a.Rows(snap, fromStart, now) {
		if err != nil {
			return err
		}
		a.hear(&e)
	}
	a.Replayed(snap)
	return nil
}

func (a *application) hear(e *oplog.Entry) {
	text := string(e.Key)
	if e.Tombstone {
		text += " deleted"
	}
	a.told = append(a.told, text)
}

// follow takes what the hub has told, up to a mark.
func (a *application) follow() error {
	a.at.marks++
	a.at.hub.QueueMark(now.Add(time.Duration(a.at.marks)*time.Minute), false, a.at.bucket.Clock)
	a.at.hub.Release(a.at.bucket.DurableCovers)
	for len(a.Events()) > 0 {
		t := <-a.Events()
		news, err := a.Take(t)
		if err != nil {
			return err
		}
		if news && t.Mark == nil {
			a.hear(&t.Entry)
		}
	}
	return nil
}

// heard wants that the application was told just that since it was asked last.
func (a *application) heard(err error, want ...string) {
	a.at.t.Helper()
	if err != nil || !slices.Equal(a.told, want) {
		a.at.t.Errorf("told %v, %v, want %v", a.told, err, want)
	}
	a.told = nil
}

// TestExtrasAreToldOnce: what a pull by key brings is under no clock until it ends. A
// reader that was told of it and falls behind is not told again; the end of the pull is
// followed by a mark. Found by seed 10 of the histories with readers.
func TestExtrasAreToldOnce(t *testing.T) {
	a, b := newPlace(t, "a"), newPlace(t, "b")
	e, f := a.put("k"), a.put("l")
	b.pull(nil, e)
	r, err := b.reads("")
	r.heard(err, "k") // from the snapshot
	b.pull(nil, f)
	r.heard(r.follow(), "l") // from the hub
	r.heard(r.reread(false))
	if !r.Unmarked() || len(r.Position()) > 0 {
		t.Errorf("a mark of %v covers what may yet be pulled", r.Position())
	}
	b.pull(a.bucket.Clock())
	r.heard(r.follow())
	if r.Unmarked() || !r.Position().Equal(a.bucket.Clock()) {
		t.Errorf("after the pull the mark is of %v", r.Position())
	}
}

// TestRememberedIsBounded: beyond the limit a reader may be told twice.
func TestRememberedIsBounded(t *testing.T) {
	a, b := newPlace(t, "a"), newPlace(t, "b")
	b.hub = watch.NewHub(watch.Limits{Remembered: 2})
	for i := range 5 {
		b.pull(nil, a.put(fmt.Sprint(i)))
	}
	r, err := b.reads("")
	r.heard(err, "0", "1", "2", "3", "4")
	r.heard(r.reread(false), "2", "3", "4")
}

// TestReconcileEndsWatchesWithTokens: of what was deleted before, a reader who came with
// a token may have had rows that the node had not, so that nothing tells of their end.
// Found by seeds 55 and 89 of the histories with readers.
func TestReconcileEndsWatchesWithTokens(t *testing.T) {
	donor, far, b := newPlace(t, "a"), newPlace(t, "c"), newPlace(t, "b")
	k, l := donor.put("k"), donor.put("l")
	half := donor.bucket.Clock()
	far.pull(half, k, l)
	first, err := far.reads("")
	first.heard(err, "k", "l")
	b.pull(oplog.Clock{k.Stamp.Origin: 1}, k) // and never had l
	whole, err := b.reads("")
	whole.heard(err, "k")
	came, err := b.reads(first.Token())
	came.heard(err)
	donor.del("k")
	donor.del("l")
	donor.forget()
	b.reconcile(donor)
	if err := came.follow(); !errors.Is(err, watch.ErrTokenExpired) {
		t.Errorf("of l he hears %v, %v", came.told, err)
	}
	came.heard(nil, "k deleted") // though the token covers the write that it was
	whole.heard(whole.follow(), "k deleted")
	if after, err := b.reads(whole.Token()); err != nil || len(after.told) > 0 {
		t.Errorf("with a token from after that he is told %v, %v", after.told, err)
	}
}

// TestReconcileBelowWhatTheReaderHadEndsTheWatch: a reconcile removes a row that he had, and
// of whose key he has had a later one that this node has not seen yet. He is told that the
// row is gone, so a token that covers the later one would keep that from him for ever: he
// has to begin anew.
func TestReconcileBelowWhatTheReaderHadEndsTheWatch(t *testing.T) {
	donor, stale, writer, b := newPlace(t, "a"), newPlace(t, "s"), newPlace(t, "w"), newPlace(t, "b")
	old := stale.put("k")
	donor.pull(stale.bucket.Clock(), old)
	del := donor.del("k")
	writer.pull(donor.bucket.Clock(), del)
	newer := writer.put("k")
	b.pull(writer.bucket.Clock(), newer)
	first, err := b.reads("")
	first.heard(err, "k")

	donor.forget()
	r, err := stale.reads(first.Token())
	r.heard(err)
	stale.reconcile(donor)
	if err := r.follow(); !errors.Is(err, watch.ErrTokenExpired) {
		t.Errorf("he reads on, told %v, %v", r.told, err)
	}
	if r.heard(nil, "k deleted"); r.Position().Covers(newer.Dot()) {
		t.Errorf("the token of %v covers what he has no row of", r.Position())
	}
	again, err := stale.reads("")
	again.heard(err)
	stale.pull(writer.bucket.Clock(), newer)
	again.heard(again.follow(), "k")
}

// TestNodeThatIsBehindTellsAgain: a reader that begins where a key is deleted knows
// nothing of it. Elsewhere he is told an older row of the key: then he has to hear of the
// delete, there or wherever he goes on. Found by seed 1729 of the histories with readers.
func TestNodeThatIsBehindTellsAgain(t *testing.T) {
	a, b, c := newPlace(t, "a"), newPlace(t, "b"), newPlace(t, "c")
	old := a.put("k") // which b never had
	c.put("k")
	del := c.del("k")
	b.pull(c.bucket.Clock(), del)
	first, err := b.reads("")
	first.heard(err)
	token := first.Token()

	behind, err := a.reads(token)
	behind.heard(err, "k")
	if !behind.Behind() || behind.Position().Covers(del.Dot()) {
		t.Errorf("behind %v, the token covers %v", behind.Behind(), behind.Position())
	}
	b.pull(a.bucket.Clock(), old)
	back, err := b.reads(behind.Token())
	back.heard(err, "k deleted")
	a.pull(c.bucket.Clock(), del)
	behind.heard(behind.follow(), "k deleted")
	if behind.Behind() {
		t.Error("a covers all that he had, and is behind")
	}
	newer := a.put("n")
	d := newPlace(t, "d") // which has nothing; what is written from now on is no older row
	fresh, err := d.reads(token)
	fresh.heard(err)
	d.pull(nil, newer)
	fresh.heard(fresh.follow(), "n")
	if fresh.Behind() {
		t.Error("he is behind though what he was told is newer than all he had")
	}
}

// TestWipeEndsTheWatchOfWhoFellBehind: he was let go before, and reads on afterwards.
// Found by seed 16445 of the histories with readers.
func TestWipeEndsTheWatchOfWhoFellBehind(t *testing.T) {
	p := newPlace(t, "a")
	p.hub = watch.NewHub(watch.Limits{Events: 1})
	r, err := p.reads("")
	r.heard(err)
	p.put("k")
	p.put("l")
	wiped := errors.New("wiped")
	p.hub.End(wiped)
	r.heard(r.follow(), "k")
	if _, open := <-r.Events(); open || !errors.Is(r.Why(), watch.ErrFellBehind) {
		t.Fatalf("it ended with %v", r.Why())
	}
	if _, err := r.Join(); !errors.Is(err, wiped) {
		t.Errorf("he joins again with %v", err)
	}
	again, err := p.reads("")
	again.heard(err, "k", "l")
}
