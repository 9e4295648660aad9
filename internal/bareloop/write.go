package bareloop

import (
	"time"

	"replicator/oplog"
)

// An Op is one put.
type Op struct{ Key, Value []byte }

// Write stamps and commits a group of puts, and appends the message that tells the
// others of it to msg. It does not sync.
func (s *Store) Write(now time.Time, ops []Op, msg []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.number(s.own)
	first := s.clock[n] + 1
	msg = appendHead(msg, s.own, first, uint64(len(ops)))
	wall := oplog.HLCAt(now)
	s.about = s.about[:0]
	for i := range ops {
		s.about = append(s.about, ops[i].Key)
	}
	if err := s.read(s.about); err != nil {
		return msg, err
	}
	b := s.db.NewBatch()
	for i := range ops {
		op := &ops[i]
		base := s.batch[string(op.Key)]
		s.hlc = max(wall, s.hlc+1, base.stamp.hlc+1)
		st := stamp{hlc: s.hlc, no: n, seq: first + uint64(i)}
		s.put(b, base, op.Key, op.Value, st, base.stamp)
		msg = s.appendEntry(msg, st, base.stamp, op)
	}
	s.setClock(b, n, first+uint64(len(ops))-1)
	return msg, s.commit(b)
}

// Apply merges messages that Write made, each the next of its origin, in one batch.
// For each row told is called, if it is not nil. It does not sync.
func (s *Store) Apply(messages [][]byte, told func(key, value []byte)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readAbout(messages); err != nil {
		return err
	}
	b := s.db.NewBatch()
	for _, m := range messages {
		d := decoder{b: m}
		o, first, count := d.head()
		n := s.number(o)
		for seq := first; seq < first+count && d.err == nil; seq++ {
			hlc, prev := d.stamp(s)
			key, value := d.bytes(), d.bytes()
			if d.err != nil {
				break
			}
			base := s.batch[string(key)]
			st := stamp{hlc: hlc, no: n, seq: seq}
			s.hlc = max(s.hlc, hlc)
			if s.later(base.stamp, st) {
				continue
			}
			s.put(b, base, key, value, st, prev)
			if told != nil {
				told(key, value)
			}
		}
		if d.err != nil {
			return d.err
		}
		s.setClock(b, n, first+count-1)
	}
	return s.commit(b)
}

// readAbout reads the rows that the messages are about.
func (s *Store) readAbout(messages [][]byte) error {
	s.about = s.about[:0]
	for _, m := range messages {
		d := decoder{b: m}
		_, _, count := d.head()
		for range count {
			if d.stamp(nil); d.err != nil {
				return d.err
			}
			s.about = append(s.about, d.bytes())
			d.bytes()
		}
	}
	return s.read(s.about)
}

// later reports whether the row with stamp a stays against b.
func (s *Store) later(a, b stamp) bool {
	if a.isZero() || a.hlc != b.hlc {
		return a.hlc > b.hlc
	}
	return s.origins[a.no-1].Compare(s.origins[b.no-1]) > 0
}
