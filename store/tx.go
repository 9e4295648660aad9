package store

import (
	"bytes"
	"cmp"
	"slices"

	"replicator/oplog"
)

// A Change is a row that really changed, for those who watch. Collecting what
// no reader sees any more is no change.
type Change struct {
	Entry oplog.Entry // of a row that a reconcile removed: a tombstone with the stamp of the row
	// Back tells that a row was removed, or an older one put in its place: whoever had
	// the row is to hear of it, though the write that Entry is may be no news to him.
	Back bool
}

// A tx gathers the changes of one batch. Its reads see its own changes, and a
// key that changes twice is written once. The bucket's mutex is held from
// newTx to commit; without commit nothing happened.
type tx struct {
	b     *Bucket
	slots map[string]*slot
	dots  map[oplog.Dot]*slot // of the entries put so far
	turn  int                 // counts puts, so that changes come in order

	clock, ahead oplog.Clock // changed rows only; a zero in ahead removes one
	gcv          oplog.Clock // likewise
	added        int         // origins that clock adds
	hlc, gcts    oplog.HLC
	token        tokenChange
	rec          *Reconcile          // the one under way
	stage        map[string]*verdict // nil: the verdict on that key goes
	own          oplog.Origin        // the own origin, if it was used
	saveSelf     bool
	lost         []Lost   // own writes that lost in this batch
	strayed      [][]byte // index rows of rows that are no more
	saveOrigins  []originNo
	dirty        bool // something changed that is worth a batch
}

// A slot is a key as this batch found it and as it leaves it.
type slot struct {
	base, cur *row // nil: no row
	turn      int  // of the last put or drop; zero if none
	collected bool // dropped because no reader sees it: no change to watchers
}

func newTx(b *Bucket) *tx {
	return &tx{
		b:     b,
		slots: make(map[string]*slot),
		dots:  make(map[oplog.Dot]*slot),
		clock: oplog.Clock{},
		ahead: oplog.Clock{},
		gcv:   oplog.Clock{},
		hlc:   b.state.hlc,
		gcts:  b.state.gcts,
		rec:   b.state.rec,
		stage: map[string]*verdict{},
	}
}

func (t *tx) slot(key []byte) (*slot, error) {
	if s := t.slots[string(key)]; s != nil {
		return s, nil
	}
	base, err := t.b.anyRow(t.b.s.kv, key)
	if err != nil {
		return nil, err
	}
	s := &slot{base: base, cur: base}
	t.slots[string(key)] = s
	return s, nil
}

// load reads the rows of keys into their slots, all at once: one after the other
// they would cost several times as much.
func (t *tx) load(keys [][]byte) error {
	list := make([][]byte, 0, len(keys))
	for _, key := range keys {
		if t.slots[string(key)] == nil {
			t.slots[string(key)] = &slot{}
			list = append(list, dataKey(t.b.id, key))
		}
	}
	slices.SortFunc(list, bytes.Compare)
	return t.b.s.kv.Find(list, func(key, value []byte) {
		r := t.b.decodeAny(key[prefixLen:], value)
		*t.slots[string(r.Key)] = slot{base: r, cur: r}
	})
}

// put makes r the row of the slot.
func (t *tx) put(s *slot, r *row) {
	t.turn++
	s.cur, s.turn = r, t.turn
	t.dots[r.Dot()] = s
	t.dirty = true
}

// drop leaves the slot without a row.
func (t *tx) drop(s *slot) {
	t.turn++
	if s.cur != nil && t.dots[s.cur.Dot()] == s {
		delete(t.dots, s.cur.Dot())
	}
	s.cur, s.turn = nil, t.turn
	t.dirty = true
}

// raiseGate notes that a row with this stamp was collected: rules G3 and C5.
func (t *tx) raiseGate(gcv oplog.Clock, gcts oplog.HLC) {
	for o, seq := range gcv {
		if seq > max(t.gcv[o], t.b.state.gcv[o]) {
			t.gcv[o] = seq
		}
	}
	t.gcts = max(t.gcts, gcts)
	t.dirty = true
}

// guard is the timestamp up to which an absent key may stand for a tombstone
// that was collected, here or at the donor of a reconcile under way.
func (t *tx) guard() oplog.HLC {
	if t.rec != nil {
		return max(t.gcts, t.rec.GCTS)
	}
	return t.gcts
}

// seq is up to where the clock covers o.
func (t *tx) seq(o oplog.Origin) oplog.Seq {
	if seq, ok := t.clock[o]; ok {
		return seq
	}
	return t.b.state.clock[o]
}

func (t *tx) covers(d oplog.Dot) bool { return d.Seq <= t.seq(d.Origin) }

// aheadOf is the highest extra of o.
func (t *tx) aheadOf(o oplog.Origin) oplog.Seq {
	if seq, ok := t.ahead[o]; ok {
		return seq
	}
	return t.b.state.ahead[o]
}

// raiseClock covers o up to seq, which also ends its extras up to there.
func (t *tx) raiseClock(o oplog.Origin, seq oplog.Seq) error {
	if seq <= t.seq(o) {
		return nil
	}
	if t.seq(o) == 0 {
		if len(t.b.state.clock)+t.added >= oplog.MaxClock {
			return &LimitError{What: "origins in a clock", Size: oplog.MaxClock + 1, Limit: oplog.MaxClock}
		}
		t.added++
	}
	t.clock[o] = seq
	if high := t.aheadOf(o); high != 0 && high <= seq {
		t.ahead[o] = 0
	}
	t.dirty = true
	return nil
}

// raiseAhead notes an extra.
func (t *tx) raiseAhead(d oplog.Dot) error {
	high := t.aheadOf(d.Origin)
	if d.Seq <= high {
		return nil
	}
	if high == 0 && len(t.b.state.ahead)+len(t.ahead) >= oplog.MaxClock {
		return &LimitError{What: "origins with extras", Size: oplog.MaxClock + 1, Limit: oplog.MaxClock}
	}
	t.ahead[d.Origin] = d.Seq
	t.dirty = true
	return nil
}

// number returns the number of o and has the batch carry it if needed.
func (t *tx) number(o oplog.Origin) originNo {
	n, unsaved := t.b.s.origins.number(o)
	if unsaved && !slices.Contains(t.saveOrigins, n) {
		t.saveOrigins = append(t.saveOrigins, n)
	}
	return n
}

// changed returns the slots that leave differently than they came, in the
// order of their last puts.
func (t *tx) changed() []*slot {
	var list []*slot
	for _, s := range t.slots {
		if s.turn > 0 {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *slot) int { return cmp.Compare(a.turn, b.turn) })
	return list
}

// commit writes the batch and, once the KV has it, the memory of the bucket.
func (t *tx) commit() ([]Change, error) {
	if !t.dirty {
		return nil, nil
	}
	next, parts, slots := t.next()
	batch := t.b.s.kv.NewBatch()
	if err := t.writeRows(batch, slots); err != nil {
		return nil, err
	}
	t.writeClocks(batch)
	t.writeGate(batch)
	for n, sum := range parts {
		batch.Set(partKey(t.b.id, n), encodeUint64(sum))
	}
	batch.Set(bucketKey(tableMeta, t.b.id, 0), next.encodeMeta())
	t.writeToken(batch)
	t.writeStage(batch)
	next.lost = t.writeLost(batch)
	t.writeNames(batch)
	if err := t.b.s.commit(batch); err != nil {
		return nil, err
	}
	t.remember(next, parts, slots)
	return changes(slots), nil
}

// next computes the counts and sums as they will be.
func (t *tx) next() (next state, parts map[int]uint64, slots []*slot) {
	old := &t.b.state
	next.hlc, next.gcts, next.keys, next.rows, next.sum = t.hlc, t.gcts, old.keys, old.rows, old.sum
	parts = make(map[int]uint64)
	count := func(r *row, add uint64) {
		if r == nil {
			return
		}
		next.rows += add
		if !r.Tombstone {
			next.keys += add
		}
		if r.counts() {
			n := oplog.HashPart(r.Key)
			if _, ok := parts[n]; !ok {
				parts[n] = old.parts[n]
			}
			parts[n] += r.hash * add
			next.sum += r.hash * add
		}
	}
	slots = t.changed()
	for _, s := range slots {
		count(s.base, ^uint64(0)) // minus one
		count(s.cur, 1)
	}
	return next, parts, slots
}

func (t *tx) writeRows(batch Batch, slots []*slot) error {
	for _, key := range t.strayed {
		batch.Delete(key)
	}
	for _, s := range slots { // first all that goes: a dot may come back under another key
		if s.base == nil {
			continue
		}
		if s.base.bad {
			if err := t.dropBad(batch, s.base); err != nil {
				return err
			}
			continue
		}
		batch.Delete(logKey(t.b.id, t.number(s.base.Stamp.Origin), s.base.Stamp.Seq))
		if key, ok := indexKey(t.b.id, &s.base.Entry); ok {
			batch.Delete(key)
		}
	}
	t.setRows(batch, slots)
	return nil
}

// dropBad takes what belonged to a bad row out of log and indexes, as far as it
// can be told: what it says of itself may be the log row of another.
func (t *tx) dropBad(batch Batch, r *row) error {
	if r.torn() {
		return nil
	}
	log := logKey(t.b.id, t.number(r.Stamp.Origin), r.Stamp.Seq)
	key, ok, err := t.b.s.kv.Get(log)
	if err != nil {
		return err
	}
	if ok && string(key) == string(r.Key) {
		batch.Delete(log)
	}
	if key, ok := indexKey(t.b.id, &r.Entry); ok {
		batch.Delete(key)
	}
	return nil
}

func (t *tx) setRows(batch Batch, slots []*slot) {
	var buf []byte
	for _, s := range slots {
		r := s.cur
		if r == nil {
			if s.base != nil {
				batch.Delete(dataKey(t.b.id, s.base.Key))
			}
			continue
		}
		buf = appendRow(buf[:0], r, t.number)
		batch.Set(dataKey(t.b.id, r.Key), buf)
		batch.Set(logKey(t.b.id, t.number(r.Stamp.Origin), r.Stamp.Seq), r.Key)
		if key, ok := indexKey(t.b.id, &r.Entry); ok {
			batch.Set(key, nil)
		}
	}
}

func (t *tx) writeClocks(batch Batch) {
	for _, o := range t.clock.Origins() {
		batch.Set(originKey(tableClock, t.b.id, t.number(o)), encodeUint64(t.clock[o]))
	}
	for _, o := range t.ahead.Origins() {
		seq := t.ahead[o]
		key := originKey(tableAhead, t.b.id, t.number(o))
		if seq == 0 {
			batch.Delete(key)
		} else {
			batch.Set(key, encodeUint64(seq))
		}
	}
}

// writeGate adds the rows of the gate that were raised.
func (t *tx) writeGate(batch Batch) {
	for _, o := range t.gcv.Origins() {
		batch.Set(originKey(tableGCV, t.b.id, t.number(o)), encodeUint64(t.gcv[o]))
	}
}

// writeNames adds what the batch's numbers stand for. It goes last.
func (t *tx) writeNames(batch Batch) {
	for _, n := range t.saveOrigins {
		o, _ := t.b.s.origins.origin(n)
		batch.Set(numberKey(tableOrigins, n), encodeOrigin(o))
	}
	if t.saveSelf {
		batch.Set(keySelf, encodeSelf(t.b.s.self(t.own.Epoch)))
	}
}

// remember brings the bucket's memory to what was committed.
func (t *tx) remember(next state, parts map[int]uint64, slots []*slot) {
	b := t.b
	for _, s := range slots {
		b.noteScrubs(s)
		if len(b.bad) > 0 {
			for _, r := range []*row{s.base, s.cur} {
				if r != nil {
					delete(b.bad, string(r.Key))
					delete(b.asked, string(r.Key))
				}
			}
		}
	}
	if len(t.gcv) > 0 || t.gcts != b.state.gcts {
		b.gated++
	}
	st := &b.state
	st.hlc, st.gcts, st.keys, st.rows, st.sum = next.hlc, next.gcts, next.keys, next.rows, next.sum
	st.lost = next.lost
	st.gcv.Join(t.gcv)
	for n, sum := range parts {
		st.parts[n] = sum
	}
	for o, seq := range t.clock {
		st.clockHash.Move(o, st.clock[o], seq)
		st.clock[o] = seq
		b.dirty[o] = seq
	}
	for o, seq := range t.ahead {
		st.aheadHash.Move(o, st.ahead[o], seq)
		st.ahead[o] = seq
		if seq == 0 {
			delete(st.ahead, o)
		}
	}
	if t.token.set {
		st.claim, st.claimAhead, st.rec = t.token.claim, t.token.ahead, t.token.rec
	}
	b.s.origins.markSaved(t.saveOrigins)
	if t.saveSelf {
		b.s.markOwn(t.own)
	}
	b.changed = true
	b.s.commits.Add(1)
}

func changes(slots []*slot) []Change {
	list := make([]Change, 0, len(slots))
	for _, s := range slots {
		if s.collected || s.cur == nil && s.base == nil {
			continue
		}
		var c Change
		if s.cur != nil {
			c.Entry, c.Back = s.cur.Entry, s.base != nil && s.cur.Stamp.Less(s.base.Stamp)
		} else {
			c.Back = true
			c.Entry = oplog.Entry{Key: s.base.Key, Stamp: s.base.Stamp, Tombstone: true}
		}
		list = append(list, c)
	}
	return list
}
