package integration_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"replicator/store"
)

// rows is the table of a store in which rows lie, by bucket and key.
const rows = 0x10

// damage changes the row of a key in the store of a node that is stopped; nil
// takes it away. A node has its default bucket first.
func (n *node) damage(key string, change func(row []byte) []byte) {
	n.tb.Helper()
	kv, err := store.OpenPebble(n.dir, store.PebbleOptions{Logger: slog.New(slog.DiscardHandler)})
	must(n.tb, err)
	at := append([]byte{rows, 0, 0, 0, 1}, key...)
	row, ok, err := kv.Get(at)
	must(n.tb, err)
	if !ok {
		n.tb.Fatalf("%s has no row %s", n.dir, key)
	}
	batch := kv.NewBatch()
	if row = change(row); row == nil {
		batch.Delete(at)
	} else {
		batch.Set(at, row)
	}
	must(n.tb, errors.Join(kv.Commit(batch), kv.Sync(), kv.Close()))
}

// TestDamagedStoreIsFoundAndRepaired: one of two real stores is damaged while its
// node is stopped. Nothing wrong is ever read from it, verify says what it finds,
// and the other node's rows put it right.
func TestDamagedStoreIsFoundAndRepaired(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	a.load(made("k/", 2000, 100))
	a.put("flipped", "right")
	a.put("lost", "here")
	converged(t, patience, a, b)
	b.stop()
	a.stop()
	a.damage("flipped", func(row []byte) []byte { row[len(row)-1] ^= 1; return row })
	a.damage("lost", func([]byte) []byte { return nil })
	a.start()
	if r := a.cli("get", "flipped"); r.code == exitDone {
		t.Errorf("a damaged row reads as %q", r.stdout)
	}
	// Alone it can only tell.
	r := replicator(t, "verify", "--deep", "--server", a.url)
	if r.code != exitDivergent || !strings.Contains(r.text(), "rows are not what was written") {
		t.Errorf("%v", r)
	}
	if !strings.Contains(a.log.String(), "bit_rot") {
		t.Error("no event tells of the damaged row")
	}
	b.start()
	await(t, patience, "verify --repair says equal", func() error {
		if r := replicator(t, "verify", "--repair", "--server", a.url); r.code != exitDone {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	a.want("flipped", "right")
	a.want("lost", "here")
	if s := a.bucket(); s.Bad != 0 || s.Scrub.Rows < 2000 {
		t.Errorf("%+v", s)
	}
	converged(t, patience, a, b)
	if !strings.Contains(a.log.String(), "divergence") {
		t.Error("no event tells of the lost row")
	}
}

// TestDamagedDonorSpreadsNothing: an empty node pulls from one whose store is
// damaged and gets all that is right, from whoever has it.
func TestDamagedDonorSpreadsNothing(t *testing.T) {
	broker := startBroker(t)
	a := connectedNode(t, "a", broker.url())
	b := connectedNode(t, "b", broker.url())
	a.load(made("k/", 500, 100))
	a.put("flipped", "right")
	converged(t, patience, a, b)
	a.stop()
	a.damage("flipped", func(row []byte) []byte { row[len(row)-1] ^= 1; return row })
	a.start()
	c := connectedNode(t, "c", broker.url())
	// a is left out: c may have pulled from b, and nobody has read the row yet.
	converged(t, patience, b, c)
	c.want("flipped", "right")
	if r := replicator(t, "verify", "--repair", "--server", c.url); r.code != exitDone {
		t.Fatal(r)
	}
	a.want("flipped", "right")
	converged(t, patience, a, b, c)
}
