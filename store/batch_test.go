package store_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"replicator/oplog"
	"replicator/store"
)

func batch(ops ...store.Op) []store.Op {
	ops[0].Batch = len(ops)
	return ops
}

func TestBatchIsAllOrNothing(t *testing.T) {
	_, s, b := fresh(t)
	write(t, b, noon, put("a", "old"))
	large := strings.Repeat("\xff", 6<<20)
	_, err := b.Write(noon, batch(put("a", "1"), put("b", large), put("c", large), put("d", large)))
	if limit, ok := errors.AsType[*store.LimitError](err); !ok || limit.Limit != store.MaxBatchBytes {
		t.Fatalf("a batch of 18 MiB: %v", err)
	}
	if value(t, b, "a") != "old" || b.Keys() != 1 || len(b.Clock()) != 1 {
		t.Fatal("a batch that was refused has left something")
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	w := write(t, b, noon, batch(put("a", "1"), del("none"), put("b", "2"), put("a", "3"))...)
	if w.Last-w.First != 2 || !w.Skipped[1] {
		t.Fatalf("%+v", w)
	}
	for i, e := range w.Entries {
		if int(e.BatchBack) != i || int(e.BatchAhead) != 2-i {
			t.Errorf("entry %d is at %d of %d", i, e.BatchBack, e.BatchAhead)
		}
	}
	check(t, b)
}

// TestLargestBatchFitsAMessage: 16 MiB that JSON would blow up, and as many ops
// as there may be, make pages that a peer takes.
func TestLargestBatchFitsAMessage(t *testing.T) {
	value := strings.Repeat("\x00", 255)
	for name, ops := range map[string][]store.Op{
		"bytes": {put("a", strings.Repeat("\x00", 8<<20)), put("b", strings.Repeat("\xff", 8<<20-2))},
		"ops":   make([]store.Op, store.MaxOps),
	} {
		if name == "ops" {
			for i := range ops {
				ops[i] = put(fmt.Sprintf("key-%05d", i), value[:i%4])
			}
		}
		_, _, b := fresh(t)
		w := write(t, b, noon, batch(ops...)...)
		for _, c := range []oplog.Codec{oplog.Msgpack, oplog.JSON} {
			body, err := oplog.Encode(c, &oplog.Page{Session: oplog.Session{ID: 1, Puller: nonce(1), Donor: nonce(2)}, Number: 1, Entries: w.Entries})
			if err != nil || len(body) > oplog.MaxBody {
				t.Errorf("%s as %s: %d bytes, %v", name, c, len(body), err)
			}
		}
	}
}

// cut copies the files with the write-ahead log ending after n bytes, as a kill
// in the middle of a write leaves it.
func cut(t *testing.T, from *vfs.MemFS, log string, n int) *vfs.MemFS {
	t.Helper()
	to := vfs.NewMem()
	if _, err := vfs.Clone(from, to, "db", "db"); err != nil {
		t.Fatal(err)
	}
	f, err := to.Open("db/" + log)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(f)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := to.Create("db/"+log, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = out.Write(content[:n])
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// logFile returns the name and the size of the write-ahead log.
func logFile(t *testing.T, fs *vfs.MemFS) (name string, size int) {
	t.Helper()
	list, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		if strings.HasSuffix(n, ".log") {
			name = max(name, n)
		}
	}
	info, err := fs.Stat("db/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return name, int(info.Size())
}

// TestScenario39BatchAtomicAtEachByte kills a node at each byte that applying a batch
// writes: it has the whole batch or nothing of it, and its tables agree.
func TestScenario39BatchAtomicAtEachByte(t *testing.T) {
	_, _, from := fresh(t)
	first := write(t, from, noon, put("a", "0"), put("b", "0"))
	second := write(t, from, noon, batch(put("a", "1"), del("b"), put("c", "1"), put("d", "1"))...)

	fs := vfs.NewMem()
	s := open(t, openPebble(t, fs, "db"), "n2", 1)
	b := join(t, s, "b")
	apply(t, b, noon, live(first))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	log, before := logFile(t, fs)
	apply(t, b, noon, live(second))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if again, _ := logFile(t, fs); again != log {
		t.Fatal("another log was begun")
	}
	_, end := logFile(t, fs)
	if end-before < 200 {
		t.Fatalf("the batch wrote %d bytes", end-before)
	}
	for n := before; n <= end; n++ {
		checkCut(t, cut(t, fs, log, n), second.Origin, n == end)
	}
}

func checkCut(t *testing.T, fs *vfs.MemFS, o oplog.Origin, whole bool) {
	t.Helper()
	kv := openPebble(t, fs, "db")
	b := join(t, open(t, kv, "n2", 2), "b")
	check(t, b)
	got := value(t, b, "a") + value(t, b, "b") + value(t, b, "c") + value(t, b, "d")
	switch seq := b.Seq(o); {
	case seq == 6 && got == "1-11":
	case seq == 2 && got == "00--" && !whole:
	default:
		t.Fatalf("the clock covers %d, the rows are %s", seq, got)
	}
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
}
