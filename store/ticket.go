package store

import (
	"crypto/rand"
	"fmt"

	"replicator/oplog"
)

// A Ticket lets the start after a clean stop go on with the epoch of the one
// before: rule I1. It is drawn at the stop and lies in two places, in the store
// and, in the caller's hands, in the memory of the machine, from where only one
// start can take it. A disk that was restored or copied comes without the latter.
// The zero Ticket is none.
type Ticket [16]byte

// IsZero reports whether t is no ticket.
func (t Ticket) IsZero() bool { return t == Ticket{} }

// CloseWithTicket is Close, and returns a ticket that Options.Ticket of the next
// Open may take. Without an error the ticket is zero only if this process has no
// epoch to hand on.
func (s *Store) CloseWithTicket() (Ticket, error) {
	if s.closed.Swap(true) {
		return Ticket{}, nil
	}
	t, err := s.drawTicket()
	if cerr := s.end(); err == nil {
		err = cerr
	}
	if err != nil {
		return Ticket{}, err
	}
	return t, nil
}

// drawTicket makes a ticket durable, with all that was written before it.
func (s *Store) drawTicket() (Ticket, error) {
	own := s.origin()
	if own.IsZero() || s.ReadOnly() != nil {
		return Ticket{}, nil
	}
	var t Ticket
	_, _ = rand.Read(t[:]) // never fails
	me := s.self(own.Epoch)
	me.ticket = t
	b := s.kv.NewBatch()
	b.Set(keySelf, encodeSelf(me))
	if err := s.commit(b); err != nil {
		return Ticket{}, fmt.Errorf("store: write ticket: %w", err)
	}
	s.commits.Add(1)
	return t, nil
}

// claim goes on with the epoch of the process before if the ticket is that of
// its stop. The caller has the ticket taken off the disk before anything is
// written, so that no other start can use it.
func (s *Store) claim(was self) {
	if was.ticket.IsZero() || was.ticket != s.opts.Ticket || was.epoch == 0 {
		return
	}
	s.own, s.ownSaved = oplog.Origin{Node: was.node, Epoch: was.epoch}, true
}
