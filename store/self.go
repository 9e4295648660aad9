package store

import (
	"encoding/binary"

	"replicator/oplog"
)

// self is who the store belongs to.
type self struct {
	node        string
	nonce, prev oplog.Nonce
	epoch       oplog.Epoch // of the last start that wrote
	starts      uint64      // how many there were
	ticket      Ticket      // of a clean stop; zero while somebody runs
}

const selfV1 = 1

func encodeSelf(s self) []byte {
	b := append([]byte{selfV1}, s.nonce[:]...)
	b = append(b, s.prev[:]...)
	b = binary.BigEndian.AppendUint64(b, s.epoch)
	b = binary.BigEndian.AppendUint64(b, s.starts)
	b = append(b, s.ticket[:]...)
	return append(b, s.node...)
}

func loadSelf(r Reader) (s self, ok bool, err error) {
	b, ok, err := r.Get(keySelf)
	if err != nil || !ok {
		return self{}, false, err
	}
	const fixed = 1 + 16 + 16 + 8 + 8 + 16
	if len(b) < fixed || b[0] != selfV1 || !oplog.ValidName(string(b[fixed:])) {
		return self{}, false, &CorruptError{Key: keySelf, Reason: "not the name of a node"}
	}
	copy(s.nonce[:], b[1:])
	copy(s.prev[:], b[17:])
	s.epoch = binary.BigEndian.Uint64(b[33:])
	s.starts = binary.BigEndian.Uint64(b[41:])
	copy(s.ticket[:], b[49:])
	s.node = string(b[fixed:])
	return s, true, nil
}

// self is what a batch that moves the epoch writes.
func (s *Store) self(epoch oplog.Epoch) self {
	return self{node: s.node, nonce: s.nonce, prev: s.prev, epoch: epoch, starts: s.starts}
}

// ownOrigin returns the origin of this start, drawn if needed, and whether the
// batch that uses it has to carry self.
func (s *Store) ownOrigin() (o oplog.Origin, unsaved bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tries := 0; s.own.IsZero(); tries++ {
		drawn := oplog.Origin{Node: s.node, Epoch: s.opts.Epoch()}
		if _, used := s.origins.known(drawn); !used && drawn.Epoch != 0 {
			s.own, s.ownSaved = drawn, false
		} else if tries == 100 {
			return oplog.Origin{}, false, errEpoch
		}
	}
	return s.own, !s.ownSaved, nil
}

// markOwn notes that self, with o in it, is in the store.
func (s *Store) markOwn(o oplog.Origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == o {
		s.ownSaved = true
	}
}

// NewEpoch gives up the own origin: the next write draws a new epoch. It is for
// a node that hears another one of its name, which may be the same memory image
// resumed twice.
func (s *Store) NewEpoch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own = oplog.Origin{}
}

// retire gives up o if it is the own origin: somebody else writes under it, as
// after a machine image was resumed twice. The next write draws a new epoch.
func (s *Store) retire(o oplog.Origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == o {
		s.own = oplog.Origin{}
	}
}

// origin returns the own origin, zero before the first write of this start.
func (s *Store) origin() oplog.Origin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own
}
