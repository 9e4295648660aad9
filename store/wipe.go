package store

import "replicator/oplog"

// bucketTables are the tables that hold a bucket as it replicates. What is kept
// for people, as lost writes are, is not among them.
var bucketTables = []byte{
	tableData, tableLog, tableClock, tableAhead, tableGCV, tableMeta, tableParts, tableTombs, tableExpiry, tableToken, tableStage,
}

// Wipe empties the bucket of a replica, durably, in one batch: rows, clock, gate
// and a reconcile under way. It is as one that was joined just now, but for its
// highest timestamp. Snapshots that are open keep what they show. On a store
// that may hold writes which nobody else has, it does nothing but answer
// ErrNoReplica: rule C6. So it does, with ErrTaken, if the bucket has taken more by
// now than clock and ahead say; a nil clock is no bound.
func (b *Bucket) Wipe(clock, ahead oplog.Clock) error {
	if !b.s.opts.Replica {
		return ErrNoReplica
	}
	if err := b.empty(clock, ahead); err != nil {
		return err
	}
	return b.s.Sync()
}

func (b *Bucket) empty(clock, ahead oplog.Clock) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.writable(); err != nil {
		return err
	}
	if bound := clock != nil; bound && (!clock.GE(b.state.clock) || !ahead.GE(b.state.ahead)) {
		return ErrTaken
	}
	next := state{clock: oplog.Clock{}, ahead: oplog.Clock{}, gcv: oplog.Clock{}, hlc: b.state.hlc, lost: b.state.lost}
	batch := b.s.kv.NewBatch()
	for _, table := range bucketTables {
		batch.DeleteRange(bucketRange(table, b.id))
	}
	batch.Set(bucketKey(tableMeta, b.id, 0), next.encodeMeta())
	if err := b.s.commit(batch); err != nil {
		return err
	}
	b.state = next
	b.dirty, b.wiped, b.changed = oplog.Clock{}, true, true
	b.bad, b.asked = map[string]bool{}, nil
	b.gated++
	for _, s := range b.scrubs {
		s.tally = tally{} // of rows that are gone
	}
	b.s.commits.Add(1)
	return nil
}
