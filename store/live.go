package store

import (
	"errors"
	"slices"
	"time"

	"replicator/oplog"
)

// ApplyLive merges live messages in one batch: rules L1 and L2. A message that
// lies wholly under the clock is ignored, one that leaves a gap is counted and
// left out: the clock never jumps. It does not sync.
func (b *Bucket) ApplyLive(now time.Time, msgs []*oplog.Live) (Applied, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.writable(); err != nil {
		return Applied{}, err
	}
	if b.state.rec != nil {
		return Applied{}, ErrReconciling
	}
	t := newTx(b)
	var a Applied
	msgs = slices.DeleteFunc(slices.Clone(msgs), func(m *oplog.Live) bool {
		err := b.checkLive(m)
		if err != nil {
			a.Refused = append(a.Refused, err)
		}
		return err != nil
	})
	if err := t.loadLive(msgs); err != nil {
		return Applied{}, err
	}
	for _, m := range msgs {
		if err := t.live(now, m, &a); err != nil {
			return Applied{}, err
		}
	}
	return t.applied(a)
}

// loadLive reads the rows that the messages are about.
func (t *tx) loadLive(msgs []*oplog.Live) error {
	var keys [][]byte
	for _, m := range msgs {
		for i := range m.Entries {
			if !t.covers(m.Entries[i].Dot()) {
				keys = append(keys, m.Entries[i].Key)
			}
		}
	}
	return t.load(keys)
}

func (t *tx) applied(a Applied) (Applied, error) {
	var err error
	if a.Changes, err = t.commit(); err != nil {
		return Applied{}, err
	}
	return a, nil
}

func (t *tx) live(now time.Time, m *oplog.Live, a *Applied) error {
	have := t.seq(m.Origin)
	if m.Last <= have {
		return nil
	}
	if m.Announced() || m.First > have+1 {
		a.Gaps++
		return nil
	}
	for i := range m.Entries {
		if m.Entries[i].Stamp.Seq <= have {
			continue
		}
		if _, err := t.merge(now, &m.Entries[i], a); err != nil {
			return err
		}
	}
	return t.raiseClock(m.Origin, m.Last)
}

func (b *Bucket) checkLive(m *oplog.Live) error {
	at := m.First - 1
	if m.Bucket != b.name || m.First == 0 || m.Last < m.First || !oplog.ValidName(m.Origin.Node) || m.Origin.Epoch == 0 {
		return refused(m, "not a range of this bucket")
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		if err := check(e); err != nil {
			return err
		}
		if e.Stamp.Origin != m.Origin || e.Stamp.Seq <= at || e.Stamp.Seq > m.Last {
			return refused(m, "entry outside of the range")
		}
		at = e.Stamp.Seq
	}
	if !m.Announced() && at != m.Last {
		return refused(m, "range does not end with an entry")
	}
	return nil
}

func refused(m *oplog.Live, what string) error {
	return &MalformedError{Dot: oplog.Dot{Origin: m.Origin, Seq: m.Last}, Err: errors.New(what)}
}
