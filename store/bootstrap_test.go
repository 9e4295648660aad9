package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"replicator/oplog"
	"replicator/store"
)

// filledTo returns how far the token of an interrupted bootstrap says that it has
// come, after it was verified: every row of the donor up to the cursor is there,
// and nothing of the donor's clock is claimed yet.
func filledTo(t *testing.T, b *store.Bucket, rows []oplog.Entry, claim oplog.Clock) (next int) {
	t.Helper()
	check(t, b)
	if len(b.Clock()) > 0 {
		t.Fatalf("the clock is %v before the end", b.Clock())
	}
	token, ok, err := b.Token()
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return 0
	}
	if !token.Claim.Equal(claim) {
		t.Fatalf("the token claims %v, want %v", token.Claim, claim)
	}
	for next < len(rows) && string(rows[next].Key) <= string(token.Cursor) {
		got, held, err := b.Get(rows[next].Key)
		if err != nil || !held || got.Stamp != rows[next].Stamp {
			t.Fatalf("the token says that %q is here: %v, %v", rows[next].Key, held, err)
		}
		next++
	}
	return next
}

// TestScenario46BootstrapCrash: the power is cut in the middle of filling an empty
// store, again and again, at whatever the store or Pebble is doing to the disk, with
// any part of the unsynced data kept. After each the store is sound, holds all that
// the token says, and the filling goes on behind it; in the end it equals the donor.
func TestScenario46BootstrapCrash(t *testing.T) {
	_, _, donor := fresh(t)
	for i := range 600 {
		write(t, donor, noon, put(fmt.Sprintf("k%04d", i*7%600), fmt.Sprint(i)))
		if i%9 == 0 {
			write(t, donor, noon, del(fmt.Sprintf("k%04d", i*7%600)))
		}
	}
	snap, err := donor.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	rows := all(t, snap.Rows(nil, nil))
	eachSeed(t, 12, func(t *testing.T, rnd *rand.Rand) {
		t.Helper()
		mem, cuts, resumed := vfs.NewCrashableMem(), 0, 0
		for start := uint64(2); ; start++ {
			cut := &powerCut{mem: mem, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0)), wait: 30 + rnd.IntN(120)}
			if start > 12 {
				cut.wait = 1 << 30 // the last life
			}
			kv, err := store.OpenPebble("db", store.PebbleOptions{
				FS: errorfs.Wrap(mem, cut), CacheBytes: 1 << 20, MemTableBytes: 32 << 10, Logger: quiet(),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = kv.Close() })
			s := open(t, kv, "new", start)
			b := join(t, s, "b")
			next := filledTo(t, b, rows, snap.Clock)
			if next > 0 {
				resumed++
			}
			for next < len(rows) && !cut.came() {
				n := min(1+rnd.IntN(20), len(rows)-next)
				page := rows[next : next+n]
				token := &store.Token{Cursor: page[n-1].Key, Claim: snap.Clock}
				if _, err := b.ApplyPage(noon, page, token); err != nil {
					t.Fatal(err)
				}
				next += n
				if rnd.IntN(4) == 0 {
					if err := s.Sync(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if cut.came() {
				cuts++
				mem = cut.after()
				continue
			}
			if err := b.EndPull(noon, snap.Clock, snap.Ahead); err != nil {
				t.Fatal(err)
			}
			alike(t, b, donor)
			break
		}
		if cuts < 2 || resumed == 0 {
			t.Errorf("%d cuts, gone on %d times: the filling was too short", cuts, resumed)
		}
	})
}
