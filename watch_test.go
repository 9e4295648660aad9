package replicator_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"replicator"
	"replicator/oplog"
)

// A view is what a reader of a watch makes of it.
type view struct {
	rows  map[string]string
	seen  map[oplog.Dot]int
	token string
	next  func() (replicator.WatchEvent, error, bool)
}

func watch(tb testing.TB, b *replicator.Bucket, o replicator.WatchOptions) *view {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	next, stop := iter.Pull2(b.Watch(ctx, o))
	tb.Cleanup(func() { cancel(); stop() })
	return &view{rows: map[string]string{}, seen: map[oplog.Dot]int{}, next: next}
}

// take reads one event.
func (v *view) take(tb testing.TB) replicator.WatchEvent {
	tb.Helper()
	ev, err, ok := v.next()
	if err != nil || !ok {
		tb.Fatalf("the watch ends: %v", err)
	}
	switch key := string(ev.Entry.Key); {
	case ev.Mark != nil:
		v.token = ev.Mark.Token
		return ev
	case ev.Entry.Tombstone:
		delete(v.rows, key)
	default:
		v.rows[key] = string(ev.Entry.Value)
	}
	v.seen[ev.Entry.Dot()]++
	return ev
}

// untilMark reads up to the next mark, and tells what came before it.
func (v *view) untilMark(tb testing.TB) (rows []string, caughtUp bool) {
	tb.Helper()
	for {
		ev := v.take(tb)
		if ev.Mark != nil {
			return rows, ev.Mark.CaughtUp
		}
		row := fmt.Sprintf("%s=%s", ev.Entry.Key, ev.Entry.Value)
		if ev.Entry.Tombstone {
			row = string(ev.Entry.Key) + " deleted"
		}
		rows = append(rows, row)
	}
}

func (v *view) once(tb testing.TB) {
	tb.Helper()
	for dot, n := range v.seen {
		if n > 1 {
			tb.Errorf("%s was told %d times", dot, n)
		}
	}
}

func TestWatchFromStart(t *testing.T) {
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a"})
	b := bucket(t, a)
	for _, key := range []string{"w/2", "w/1", "w/3", "other"} {
		put(t, b, key, "v")
	}
	del(t, b, "w/3")
	put(t, b, "w/1", "new")
	v := watch(t, b, replicator.WatchOptions{Prefix: []byte("w/"), FromStart: true})
	if rows, caughtUp := v.untilMark(t); strings.Join(rows, ", ") != "w/1=new, w/2=v" || !caughtUp {
		t.Errorf("there were %v, caught up %v", rows, caughtUp)
	}
	put(t, b, "other", "again")
	del(t, b, "w/2")
	if ev := v.take(t); !ev.Entry.Tombstone || string(ev.Entry.Key) != "w/2" || !ev.Local {
		t.Errorf("then came %+v", ev)
	}
}

func TestWatchOptionsLeaveOut(t *testing.T) {
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a"})
	b := bucket(t, a)
	put(t, b, "k", "v")
	v := watch(t, b, replicator.WatchOptions{FromStart: true, IgnoreDeletes: true, MetaOnly: true})
	if rows, _ := v.untilMark(t); strings.Join(rows, ", ") != "k=" {
		t.Errorf("there were %v", rows)
	}
	del(t, b, "k")
	put(t, b, "k", "w")
	if ev := v.take(t); ev.Entry.Tombstone || ev.Entry.Value != nil || ev.Entry.Stamp.Seq != 3 {
		t.Errorf("then came %+v", ev)
	}
}

// TestWatchGoesOnElsewhere: a token of a is good at b, and after a restart. Of a key
// that was written again and again the newest row is told, and a delete is.
func TestWatchGoesOnElsewhere(t *testing.T) {
	s, dir := startServer(t), t.TempDir()
	a, b := open(t, s.ClientURL(), replicator.Config{Node: "a"}), open(t, s.ClientURL(), replicator.Config{Node: "b", Dir: dir})
	at := bucket(t, a)
	put(t, at, "before", "1")
	put(t, at, "gone", "1")
	v := watch(t, at, replicator.WatchOptions{FromStart: true, Marks: true})
	v.untilMark(t)
	put(t, at, "k", "0")
	if rows, caughtUp := v.untilMark(t); strings.Join(rows, ", ") != "k=0" || caughtUp {
		t.Errorf("before the mark came %v, caught up %v", rows, caughtUp)
	}
	for i := range 20 {
		put(t, at, "k", fmt.Sprint(i))
	}
	del(t, at, "gone")
	put(t, bucket(t, b), "of b", "1")
	eventually(t, "b has all of a", func() bool { return gone(bucket(t, b), "gone")() && has(bucket(t, b), "k", "19")() })
	want := []string{"gone deleted", "k=19", "of b=1"}
	for round := range 2 {
		w := watch(t, bucket(t, b), replicator.WatchOptions{Resume: v.token})
		rows, caughtUp := w.untilMark(t)
		if slices.Sort(rows); !slices.Equal(rows, want) || !caughtUp {
			t.Errorf("round %d: told %v, want %v", round, rows, want)
		}
		closeAll(t, b)
		b = open(t, s.ClientURL(), replicator.Config{Node: "b", Dir: dir})
	}
}

// TestTokenOfAnotherThatIsAhead: what the reader has is not told again when it comes
// here, and what he has not is.
func TestTokenOfAnotherThatIsAhead(t *testing.T) {
	dir, near := t.TempDir(), startServer(t)
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a", Dir: dir})
	b := open(t, near.ClientURL(), replicator.Config{Node: "b"}) // apart
	put(t, bucket(t, a), "k", "1")
	v := watch(t, bucket(t, a), replicator.WatchOptions{FromStart: true})
	v.untilMark(t)
	put(t, bucket(t, b), "own", "1")
	w := watch(t, bucket(t, b), replicator.WatchOptions{Resume: v.token, Marks: true})
	if rows, _ := w.untilMark(t); strings.Join(rows, ", ") != "own=1" {
		t.Errorf("told %v", rows)
	}
	put(t, bucket(t, b), "own", "2")
	w.untilMark(t)
	x := watch(t, bucket(t, a), replicator.WatchOptions{Resume: w.token})
	if rows, _ := x.untilMark(t); len(rows) != 0 {
		t.Errorf("back at a he is told %v, which he had", rows)
	}
	closeAll(t, a)
	open(t, near.ClientURL(), replicator.Config{Node: "a", Dir: dir})
	eventually(t, "b has what a wrote", has(bucket(t, b), "k", "1"))
	put(t, bucket(t, b), "own", "3")
	if rows, _ := w.untilMark(t); strings.Join(rows, ", ") != "own=3" {
		t.Errorf("when k came to b he is told %v", rows)
	}
}

func TestTokensThatAreNone(t *testing.T) {
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a"})
	b := bucket(t, a)
	put(t, b, "k", "1")
	v := watch(t, b, replicator.WatchOptions{FromStart: true})
	v.untilMark(t)
	other, err := a.CreateBucket("other")
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]func() (replicator.WatchEvent, error, bool){
		"nothing":        watch(t, b, replicator.WatchOptions{Resume: "x"}).next,
		"a part":         watch(t, b, replicator.WatchOptions{Resume: v.token[:len(v.token)-3]}).next,
		"altered":        watch(t, b, replicator.WatchOptions{Resume: strings.Map(func(r rune) rune { return r ^ 1 }, v.token[:1]) + v.token[1:]}).next,
		"another bucket": watch(t, other, replicator.WatchOptions{Resume: v.token}).next,
		"both":           watch(t, b, replicator.WatchOptions{Resume: v.token, FromStart: true}).next,
		"huge":           watch(t, b, replicator.WatchOptions{Resume: strings.Repeat("A", 10<<20)}).next,
	} {
		_, err, ok := bad()
		if both := name == "both"; !ok || err == nil || errors.Is(err, replicator.ErrBadToken) == both {
			t.Errorf("%s: %v", name, err)
		}
	}
	del(t, b, "k")
	if n, err := a.Collect(t.Context(), b.Name(), 0); n != 1 || err != nil {
		t.Fatalf("%d collected, %v", n, err)
	}
	if _, err, _ := watch(t, b, replicator.WatchOptions{Resume: v.token}).next(); !errors.Is(err, replicator.ErrTokenExpired) {
		t.Errorf("a token from before a delete that is forgotten: %v", err)
	}
}

// TestWatchUnderWriters: what is written beside it is told once, and nothing is missed.
func TestWatchUnderWriters(t *testing.T) {
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a", Durability: replicator.DurabilityInterval})
	b := bucket(t, a)
	var wg sync.WaitGroup
	write := func(writer, from, to int) {
		for i := from; i < to; i++ {
			put(t, b, fmt.Sprintf("%d/%03d", writer, i%300), fmt.Sprint(i))
		}
	}
	write(0, 0, 300)
	for writer := range 3 {
		wg.Go(func() { write(writer, 300, 2000) })
	}
	v := watch(t, b, replicator.WatchOptions{FromStart: true, Marks: true})
	wg.Wait()
	put(t, b, "last", "")
	for !slices.ContainsFunc([]string{string(v.take(t).Entry.Key)}, func(k string) bool { return k == "last" }) {
	}
	v.once(t)
	sameAs(t, b, v)
}

func sameAs(t *testing.T, b *replicator.Bucket, v *view) {
	t.Helper()
	rows := 0
	for e, err := range b.Scan(t.Context(), replicator.ScanOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
		if got, ok := v.rows[string(e.Key)]; !ok || got != string(e.Value) {
			t.Errorf("%s is %q, the watch has %q", e.Key, e.Value, got)
		}
	}
	if rows != len(v.rows) {
		t.Errorf("%d rows, the watch has %d", rows, len(v.rows))
	}
}

// TestReaderThatStopsGetsTheNewest: what waits for it is bounded, nothing is told twice,
// and of each key it gets the last value.
func TestReaderThatStopsGetsTheNewest(t *testing.T) {
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a"})
	b := bucket(t, a)
	v := watch(t, b, replicator.WatchOptions{Marks: true})
	put(t, b, "first", "")
	v.take(t)
	const writes = 20_000
	ops := make([]replicator.Op, 1000)
	for i := range writes / len(ops) {
		for j := range ops {
			n := i*len(ops) + j
			key := fmt.Sprintf("k%02d", n%70)
			if i < 3 {
				key = fmt.Sprintf("once/%d", n) // told live, and still there when the log is read
			}
			ops[j] = replicator.Op{Key: []byte(key), Value: fmt.Append(nil, n)}
		}
		if _, err := b.Batch(t.Context(), ops...); err != nil {
			t.Fatal(err)
		}
	}
	del(t, b, "k00")
	put(t, b, "last", "")
	events := 0
	for string(v.take(t).Entry.Key) != "last" {
		events++
	}
	if events > 10_000 {
		t.Errorf("%d events came of %d writes", events, writes)
	}
	v.once(t)
	sameAs(t, b, v)
	put(t, b, "after", "")
	for string(v.take(t).Entry.Key) != "after" { // it follows live again
	}
}

// TestSlowReaderThatMissedDeletes: a delete that is forgotten cannot be told.
func TestSlowReaderThatMissedDeletes(t *testing.T) {
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a"})
	b := bucket(t, a)
	put(t, b, "k", "")
	v := watch(t, b, replicator.WatchOptions{})
	put(t, b, "first", "")
	v.take(t)
	for i := range 6 { // each is told of when the next one is answered
		ops := make([]replicator.Op, 1000)
		for j := range ops {
			ops[j] = replicator.Op{Key: fmt.Appendf(nil, "n%d", i*len(ops)+j)}
		}
		if _, err := b.Batch(t.Context(), ops...); err != nil {
			t.Fatal(err)
		}
	}
	del(t, b, "k")
	if n, err := a.Collect(t.Context(), b.Name(), 0); n != 1 || err != nil {
		t.Fatalf("%d collected, %v", n, err)
	}
	late := time.Now().Add(30 * time.Second)
	for {
		_, err, ok := v.next()
		if errors.Is(err, replicator.ErrSlowWatcher) {
			return
		}
		if err != nil || !ok || time.Now().After(late) {
			t.Fatalf("it ends with %v", err)
		}
	}
}
