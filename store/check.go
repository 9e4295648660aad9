package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"replicator/oplog"
)

// Check reads everything the bucket holds and compares it: rows with their
// hashes and with the log, the sums, counts and indexes with the rows, the
// clock and ahead with the dots, the stored state with the one in memory.
// It returns the first few contradictions, joined.
func (b *Bucket) Check() error {
	b.mu.Lock()
	if b.s.closed.Load() {
		b.mu.Unlock()
		return ErrClosed
	}
	c := &checker{b: b, kv: b.s.kv.Snapshot(), want: b.state}
	c.want.clock, c.want.ahead = b.state.clock.Clone(), b.state.ahead.Clone()
	b.mu.Unlock()
	c.run()
	c.fault(c.kv.Close())
	return errors.Join(c.faults...)
}

type checker struct {
	b       *Bucket
	kv      KVSnapshot
	want    state // as it is in memory
	got     state // as the rows say
	indexed [2]uint64
	stored  [oplog.HashParts]uint64
	faults  []error
}

func (c *checker) fault(err error) bool {
	if err != nil && len(c.faults) < 10 {
		c.faults = append(c.faults, fmt.Errorf("bucket %s: %w", c.b.name, err))
	}
	return err != nil
}

func (c *checker) faultf(format string, args ...any) { c.fault(fmt.Errorf(format, args...)) }

func (c *checker) run() {
	c.table(tableData, c.row)
	c.table(tableLog, c.log)
	c.index(tableTombs, c.indexed[0])
	c.index(tableExpiry, c.indexed[1])
	c.clock(tableClock, c.want.clock)
	c.clock(tableAhead, c.want.ahead)
	c.clock(tableGCV, c.want.gcv)
	c.table(tableParts, c.part)
	c.sums()
	c.extras()
}

func (c *checker) table(table byte, each func(key, value []byte)) (n uint64) {
	lower, upper := bucketRange(table, c.b.id)
	c.fault(walk(c.kv, lower, upper, func(key, value []byte) error {
		n++
		each(key[prefixLen:], value)
		return nil
	}))
	return n
}

func (c *checker) row(key, value []byte) {
	r, err := c.b.decode(append([]byte(nil), key...), value)
	if c.fault(err) {
		return
	}
	if o := r.Stamp.Origin; r.Stamp.Seq > max(c.want.clock[o], c.want.ahead[o]) {
		c.faultf("row %q: %s is neither covered nor an extra", clip(key), r.Dot())
	}
	n, _ := c.b.s.origins.known(r.Stamp.Origin)
	if v, ok, err := c.kv.Get(logKey(c.b.id, n, r.Stamp.Seq)); !c.fault(err) && (!ok || string(v) != string(key)) {
		c.faultf("row %q: log has %q for %s", clip(key), clip(v), r.Dot())
	}
	c.count(r)
}

func (c *checker) count(r *row) {
	c.got.rows++
	if !r.Tombstone {
		c.got.keys++
	}
	if r.counts() {
		c.got.parts[oplog.HashPart(r.Key)] += r.hash
		c.got.sum += r.hash
	}
	key, ok := indexKey(c.b.id, &r.Entry)
	if !ok {
		return
	}
	c.indexed[key[0]-tableTombs]++
	if _, ok, err := c.kv.Get(key); !c.fault(err) && !ok {
		c.faultf("row %q: not in its index", clip(r.Key))
	}
}

func (c *checker) log(key, value []byte) {
	if len(key) != 12 {
		c.faultf("log key %x of a wrong size", key)
		return
	}
	n, seq := binary.BigEndian.Uint32(key), binary.BigEndian.Uint64(key[4:])
	r, err := c.b.row(c.kv, value)
	if c.fault(err) {
		return
	}
	o, ok := c.b.s.origins.origin(n)
	if !ok || r == nil || r.Stamp.Seq != seq || r.Stamp.Origin != o {
		c.faultf("log %s:%d: stale, names %q", o, seq, clip(value))
	}
}

func (c *checker) index(table byte, want uint64) {
	if n := c.table(table, func(_, _ []byte) {}); n != want {
		c.faultf("index %#x: %d entries for %d rows", table, n, want)
	}
}

func (c *checker) clock(table byte, want oplog.Clock) {
	n := c.table(table, func(key, value []byte) {
		if len(key) != 4 || len(value) != 8 {
			c.faultf("clock table %#x: impossible row %x", table, key)
			return
		}
		o, ok := c.b.s.origins.origin(binary.BigEndian.Uint32(key))
		if seq := binary.BigEndian.Uint64(value); !ok || want[o] != seq {
			c.faultf("clock table %#x: %s is %d on disk, %d in memory", table, o, seq, want[o])
		}
	})
	if n != uint64(len(want)) {
		c.faultf("clock table %#x: %d rows on disk, %d in memory", table, n, len(want))
	}
}

func (c *checker) part(key, value []byte) {
	if len(key) != 2 || len(value) != 8 || binary.BigEndian.Uint16(key) >= oplog.HashParts {
		c.faultf("hash part %x: impossible", key)
		return
	}
	c.stored[binary.BigEndian.Uint16(key)] = binary.BigEndian.Uint64(value)
}

func (c *checker) sums() {
	for n, sum := range c.got.parts {
		if c.stored[n] != sum {
			c.faultf("hash part %d: %x on disk, %x by rows", n, c.stored[n], sum)
		}
	}
	if c.got.parts != c.want.parts || c.got.sum != c.want.sum {
		c.faultf("hash: %x in memory, %x by rows", c.want.sum, c.got.sum)
	}
	if c.got.keys != c.want.keys || c.got.rows != c.want.rows {
		c.faultf("count: %d keys %d rows in memory, %d and %d by rows", c.want.keys, c.want.rows, c.got.keys, c.got.rows)
	}
	meta, ok, err := c.kv.Get(bucketKey(tableMeta, c.b.id, 0))
	if !c.fault(err) && ok && string(meta) != string(c.want.encodeMeta()) {
		c.faultf("meta: %x on disk, %x in memory", meta, c.want.encodeMeta())
	}
	if c.want.clockHash != oplog.HashClock(c.want.clock) || c.want.aheadHash != oplog.HashClock(c.want.ahead) {
		c.faultf("hash of the clock or of ahead is not that of its rows")
	}
}

func (c *checker) extras() {
	for o, seq := range c.want.ahead {
		if seq <= c.want.clock[o] {
			c.faultf("ahead: %s:%d is covered", o, seq)
		}
	}
}
