package store

import (
	"bytes"
	"fmt"
	"slices"
)

// A DoubtfulError reports a reconcile that would remove more rows than a single
// donor is believed. Nothing was carried out: the verdicts stay, and the token
// behind them. Rule C7.
type DoubtfulError struct {
	Removes, Rows uint64   // so many of so many, tombstones aside
	Going         []uint64 // the hashes of those that would go, ascending; at most MaxGoing
	Limit         uint64   // so many may go that nobody else names
}

// A Consent is what others than the donor of a reconcile have said of what it
// removes. Rows that it does not name go unasked up to a limit.
type Consent struct {
	Rows []uint64 // hashes of rows of which another donor has said that they go, ascending
	Most uint64   // so many others may go, for the operator has said so
}

// MaxGoing is how many rows a DoubtfulError names. Of more, the operator decides.
const MaxGoing = 1 << 18

func (e *DoubtfulError) Error() string {
	return fmt.Sprintf("store: the reconcile would remove %d of %d rows", e.Removes, e.Rows)
}

const (
	// doubtFloor is Options.DoubtFloor by default: what is removed is kept for a
	// while, and so many can be looked through.
	doubtFloor = 1000
	// doubtShare is the part of a bucket's rows that may go at once, one of so many.
	doubtShare = 10
)

// believes reports an error if more rows would go than may, beyond those that
// somebody else has said should.
func (b *Bucket) believes(c Consent) error {
	g := going{consent: c}
	after := []byte{}
	err := b.eachBatch(func() (more bool, err error) {
		after, more, err = b.removalsBehind(after, &g)
		return more, err
	})
	rows := b.Keys()
	// No more than are kept, beside those of the operator.
	limit := max(uint64(b.s.opts.DoubtFloor), min(rows/doubtShare, maxRemoved))
	if err == nil && g.unasked > max(c.Most, limit) {
		slices.Sort(g.hashes)
		err = &DoubtfulError{Removes: g.rows, Rows: rows, Going: g.hashes, Limit: limit}
	}
	return err
}

// going are the rows that verdicts take from readers, or put the donor's in their
// place.
type going struct {
	consent Consent
	rows    uint64
	unasked uint64 // of those, rows of which only this reconcile says so
	hashes  []uint64
}

func (g *going) add(r *row) {
	g.rows++
	if _, agreed := slices.BinarySearch(g.consent.Rows, r.hash); !agreed {
		g.unasked++
	}
	if len(g.hashes) < MaxGoing {
		g.hashes = append(g.hashes, r.hash)
	}
}

// removalsBehind adds what some verdicts remove. It reads the rows: some were
// overwritten since they were judged.
func (b *Bucket) removalsBehind(after []byte, g *going) (last []byte, more bool, err error) {
	lower, upper := bucketRange(tableStage, b.id)
	if len(after) > 0 {
		lower = append(stageKey(b.id, after), 0)
	}
	it, err := b.s.kv.Iter(lower, upper)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = it.Close() }()
	keys, size := 0, 0
	for ok := it.First(); ok; ok = it.Next() {
		if keys == compareKeys || size >= compareBytes {
			return last, true, nil
		}
		last = bytes.Clone(it.Key()[prefixLen:])
		removed, read, err := b.removes(last, bytes.Clone(it.Value()))
		if err != nil {
			return nil, false, err
		}
		if removed != nil {
			g.add(removed)
		}
		keys, size = keys+1, size+read
	}
	return last, false, it.Err()
}

// removes returns the row that readers see and the verdict on a key would remove,
// nil if there is none, and how many bytes it took to find out. What is written
// anew goes from readers if the policy deletes it.
func (b *Bucket) removes(key, value []byte) (removed *row, size int, err error) {
	size = len(value)
	v, err := b.decodeVerdict(key, value)
	if err != nil {
		return nil, 0, &CorruptError{Bucket: b.name, Key: stageKey(b.id, key), Reason: err.Error()}
	}
	if v.reissue && b.ambiguous() == Keep {
		return nil, size, nil
	}
	r, err := b.anyRow(b.s.kv, key)
	if err != nil || r == nil {
		return nil, size, err
	}
	if size += len(r.Value); r.Stamp != v.stamp || r.Tombstone || r.bad {
		return nil, size, nil
	}
	return r, size, nil
}
