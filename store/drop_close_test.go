package store_test

import (
	"testing"
	"time"

	"replicator/store"
)

// hooked runs hook before its next commit.
type hooked struct {
	*store.Map
	hook func()
}

func (h *hooked) Commit(b store.Batch) error {
	if hook := h.hook; hook != nil {
		h.hook = nil
		hook()
	}
	return h.Map.Commit(b)
}

// TestDropBesideAClose: a bucket is dropped while the store is closed with a ticket, so
// that the next start goes on with the epoch whose seqs the bucket has used. Joined again
// it must not count them anew.
func TestDropBesideAClose(t *testing.T) {
	m := store.NewMap()
	kv := &hooked{Map: m}
	open := func(n byte, ticket store.Ticket) *store.Store {
		s, err := store.Open(kv, noon, store.Options{Node: "n0", Nonce: nonce(uint64(n)), Epoch: epochs(uint64(n)), Ticket: ticket})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(1, store.Ticket{})
	first := write(t, join(t, s, "b"), noon, put("k", "first"))
	got := make(chan store.Ticket, 1)
	kv.hook = func() { // Drop is about to commit
		before := m.UnsyncedCommits()
		go func() {
			ticket, err := s.CloseWithTicket()
			if err != nil {
				t.Error(err)
			}
			got <- ticket
		}()
		for end := time.Now().Add(time.Second); m.UnsyncedCommits() == before && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	err := s.Drop("b")
	ticket := <-got
	m.Reopen()
	if s = open(2, ticket); ticket.IsZero() || len(s.Left()) != 1 {
		t.Fatalf("drop: %v; a ticket: %v; left %v: they did not meet", err, !ticket.IsZero(), s.Left())
	}
	second := write(t, join(t, s, "b"), noon.Add(time.Hour), put("other", "second"))
	if second.Origin == first.Origin && second.First == first.First {
		t.Errorf("the dot %s/%d names %q and %q", second.Origin, second.First, first.Entries[0].Key, second.Entries[0].Key)
	}
}
