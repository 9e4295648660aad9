package store_test

import (
	"testing"

	"replicator/oplog"
	"replicator/store"
)

// openWith opens a store of n0 with a ticket and writes once.
func openWith(tb testing.TB, m *store.Map, n byte, ticket store.Ticket) (*store.Store, oplog.Stamp) {
	tb.Helper()
	s, err := store.Open(m, noon, store.Options{Node: "n0", Nonce: nonce(uint64(n)), Epoch: epochs(uint64(n)), Ticket: ticket})
	if err != nil {
		tb.Fatal(err)
	}
	w := write(tb, join(tb, s, "b"), noon, put("k", string('a'+rune(n))))
	return s, w.Entries[0].Stamp
}

func stop(tb testing.TB, s *store.Store, m *store.Map) store.Ticket {
	tb.Helper()
	ticket, err := s.CloseWithTicket()
	if err != nil {
		tb.Fatal(err)
	}
	m.Reopen()
	return ticket
}

// TestCleanStopKeepsTheEpoch: the next start goes on where it ended, and another
// start from a copy of the same disk does not.
func TestCleanStopKeepsTheEpoch(t *testing.T) {
	m := store.NewMap()
	s, first := openWith(t, m, 1, store.Ticket{})
	ticket := stop(t, s, m)
	if ticket.IsZero() {
		t.Fatal("no ticket after a clean stop")
	}
	copied := m.Clone()
	s, second := openWith(t, m, 2, ticket)
	if second.Origin != first.Origin || second.Seq != first.Seq+1 {
		t.Errorf("after a clean stop %s follows %s", second, first)
	}
	if s.Starts() != 2 {
		t.Errorf("start %d, want 2", s.Starts())
	}
	if next := stop(t, s, m); next == ticket || next.IsZero() {
		t.Errorf("the second stop gives ticket %x after %x", next, ticket)
	}
	if _, other := openWith(t, copied, 3, store.Ticket{}); other.Origin == first.Origin {
		t.Error("a copy without the ticket goes on with the epoch")
	}
}

// TestTicketIsUsedOnce: whatever happens to a process that took it.
func TestTicketIsUsedOnce(t *testing.T) {
	m := store.NewMap()
	s, first := openWith(t, m, 1, store.Ticket{})
	ticket := stop(t, s, m)
	_, second := openWith(t, m, 2, ticket)
	if second.Origin != first.Origin {
		t.Fatal("the ticket is not taken")
	}
	m.Crash(0)
	if _, third := openWith(t, m, 3, ticket); third.Origin == first.Origin {
		t.Error("a ticket is taken twice, over a crash")
	}
}

func TestTicketOfAnotherStopIsNone(t *testing.T) {
	m := store.NewMap()
	s, first := openWith(t, m, 1, store.Ticket{})
	old := stop(t, s, m)
	s, _ = openWith(t, m, 2, old)
	older := m.Clone()
	stop(t, s, m)
	older.Crash(0)
	for name, ticket := range map[string]store.Ticket{"old": old, "zero": {}, "other": {1, 2, 3}} {
		for disk, kv := range map[string]*store.Map{"older": older, "stopped": m} {
			if _, stamp := openWith(t, kv.Clone(), 3, ticket); stamp.Origin == first.Origin {
				t.Errorf("%s ticket, %s disk: the epoch goes on", name, disk)
			}
		}
	}
}

func TestRenamedStoreHasNoTicket(t *testing.T) {
	m := store.NewMap()
	s, first := openWith(t, m, 1, store.Ticket{})
	ticket := stop(t, s, m)
	if err := store.Rename(m, "n1"); err != nil {
		t.Fatal(err)
	}
	if err := store.Rename(m, "n0"); err != nil {
		t.Fatal(err)
	}
	if _, stamp := openWith(t, m, 2, ticket); stamp.Origin == first.Origin {
		t.Error("a renamed store goes on with its epoch")
	}
}

// TestNewEpoch: the writes after it are another origin's.
func TestNewEpoch(t *testing.T) {
	s, first := openWith(t, store.NewMap(), 1, store.Ticket{})
	s.NewEpoch()
	b, _ := s.Bucket("b")
	if w := write(t, b, noon, put("k", "2")); w.Origin == first.Origin || w.First != 1 {
		t.Errorf("after NewEpoch %s:%d", w.Origin, w.First)
	}
	check(t, b)
}
