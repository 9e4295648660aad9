package bareloop

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"replicator/oplog"
)

// A Way is how the rows of a catch-up get into the store.
type Way int

const (
	// Ingest writes them as tables of their own, which Pebble takes as they are. It
	// asks for a store without rows.
	Ingest Way = iota
	// Merge reads the row of each key, and puts those that win into a batch.
	Merge
	// Blind puts all of them into a batch. It asks for a store without rows.
	Blind
)

// A catch-up is a begin, pages, and an end: one byte tells which.
const (
	msgBegin = iota + 1
	msgPage
	msgEnd
)

// A joining is a catch-up under way.
type joining struct {
	way     Way
	numbers []originNo // here, by the number at the donor
	claim   oplog.Clock
	claimed bool // the claim is in the store
}

// A Snapshot is what a donor streams from.
type Snapshot struct {
	snap    *pebble.Snapshot
	origins []oplog.Origin
	clock   map[originNo]oplog.Seq
}

// Snapshot opens a snapshot, after a sync: nothing leaves that is not durable.
func (s *Store) Snapshot() (*Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.Sync(); err != nil {
		return nil, err
	}
	return &Snapshot{snap: s.db.NewSnapshot(), origins: slices.Clone(s.origins), clock: maps.Clone(s.clock)}, nil
}

// Stream gives send a begin, pages of about size bytes in order of key, and an end.
// What send is given is its own.
func (p *Snapshot) Stream(size int, send func([]byte) error) error {
	if err := send(p.begin()); err != nil {
		return err
	}
	lower := appendKey(nil, tableData)
	upper := appendKey(nil, tableData)
	upper[len(upper)-1]++
	it, err := p.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	page := newPage(size)
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		page = appendBytes(appendBytes(page, it.Key()[prefixLen:]), it.Value())
		if len(page) >= size {
			err, page = send(page), newPage(size)
		}
	}
	if err = errors.Join(err, it.Error(), it.Close()); err != nil {
		return err
	}
	if len(page) > 1 {
		if err := send(page); err != nil {
			return err
		}
	}
	return send([]byte{msgEnd})
}

func newPage(size int) []byte { return append(make([]byte, 0, size+size/4), msgPage) }

func (p *Snapshot) begin() []byte {
	b := binary.AppendUvarint([]byte{msgBegin}, uint64(len(p.origins)))
	for i, o := range p.origins {
		b = binary.AppendUvarint(appendOrigin(b, o), p.clock[originNo(i+1)])
	}
	return b
}

// Close lets go of the rows.
func (p *Snapshot) Close() error { return p.snap.Close() }

// begun starts a catch-up.
func (s *Store) begun(way Way, msg []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := &joining{way: way, claim: oplog.Clock{}}
	d := decoder{b: msg[1:]}
	for range d.uvarint() {
		o := d.origin()
		seq := d.uvarint()
		if d.err != nil {
			return d.err
		}
		j.numbers = append(j.numbers, s.number(o))
		j.claim[o] = seq
	}
	s.joining = j
	return d.err
}

// A pageRow is a row of a page, its origins as numbers of this store.
type pageRow struct {
	key []byte
	row
}

// page takes the next pages at once, with the token that lies behind the last of them.
func (s *Store) page(pages [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []pageRow
	for _, p := range pages {
		d := decoder{b: p[1:]}
		for len(d.b) > 0 && d.err == nil {
			r := pageRow{key: d.bytes()}
			var err error
			if r.row, err = parseRow(d.bytes()); err != nil {
				return err
			}
			if r.stamp.no, r.prev.no, err = s.joining.renumber(r.stamp.no, r.prev.no); err != nil {
				return err
			}
			s.hlc = max(s.hlc, r.stamp.hlc)
			s.ahead[r.stamp.no] = max(s.ahead[r.stamp.no], r.stamp.seq)
			rows = append(rows, r)
		}
		if d.err != nil {
			return d.err
		}
	}
	b := s.db.NewBatch()
	if err := s.take(b, rows); err != nil {
		return err
	}
	for n, seq := range s.ahead {
		_ = b.Set(originKey(tableAhead, n), binary.BigEndian.AppendUint64(nil, seq), nil)
	}
	_ = b.Set(tokenKey(tokenCursor), rows[len(rows)-1].key, nil)
	if !s.joining.claimed {
		_ = b.Set(tokenKey(tokenClaim), s.encodeClock(s.joining.claim), nil)
		s.joining.claimed = true
	}
	return s.commit(b)
}

func (j *joining) renumber(no, prev originNo) (originNo, originNo, error) {
	if int(no) > len(j.numbers) || int(prev) > len(j.numbers) || no == 0 {
		return 0, 0, errRow
	}
	if prev != 0 {
		prev = j.numbers[prev-1]
	}
	return j.numbers[no-1], prev, nil
}

func (s *Store) encodeClock(c oplog.Clock) []byte {
	var b []byte
	for _, o := range c.Origins() {
		b = binary.BigEndian.AppendUint32(b, s.number(o))
		b = binary.BigEndian.AppendUint64(b, c[o])
	}
	return b
}

// take puts the rows into the store, in the way of the catch-up.
func (s *Store) take(b *pebble.Batch, rows []pageRow) error {
	if s.joining.way == Ingest {
		return s.ingest(rows)
	}
	if s.joining.way == Merge {
		s.about = s.about[:0]
		for i := range rows {
			s.about = append(s.about, rows[i].key)
		}
		if err := s.read(s.about); err != nil {
			return err
		}
	}
	for i := range rows {
		r := &rows[i]
		base := s.batch[string(r.key)] // none where all are taken blindly
		if s.later(base.stamp, r.stamp) {
			continue
		}
		s.put(b, base, r.key, r.value, r.stamp, r.prev)
	}
	return nil
}

// ingest writes two tables, one of rows and one of the log, and hands them to Pebble.
func (s *Store) ingest(rows []pageRow) error {
	data, err := s.table(func(w *sstable.Writer) error {
		for i := range rows {
			r := &rows[i]
			part := oplog.HashPart(r.key)
			s.parts[part] += r.hash
			s.touched[part] = true
			s.row = appendRow(s.row[:0], r.stamp, r.prev, r.hash, r.value)
			s.key = appendDataKey(s.key[:0], r.key)
			if err := w.Set(s.key, s.row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.keys += uint64(len(rows))
	slices.SortFunc(rows, func(a, b pageRow) int {
		return cmp.Or(cmp.Compare(a.stamp.no, b.stamp.no), cmp.Compare(a.stamp.seq, b.stamp.seq))
	})
	log, err := s.table(func(w *sstable.Writer) error {
		for i := range rows {
			s.key = appendLogKey(s.key[:0], rows[i].stamp.no, rows[i].stamp.seq)
			if err := w.Set(s.key, rows[i].key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.db.Ingest(context.Background(), []string{data, log})
}

func (s *Store) table(fill func(*sstable.Writer) error) (path string, err error) {
	s.ingests++
	path = filepath.Join(s.dir, fmt.Sprintf("ingest-%d", s.ingests))
	f, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return "", err
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), s.opts.MakeWriterOptions(0, s.db.TableFormat()))
	return path, errors.Join(fill(w), w.Close())
}

// end covers what came, lets the token go, and syncs.
func (s *Store) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.NewBatch()
	for _, o := range s.joining.claim.Origins() {
		s.setClock(b, s.number(o), s.joining.claim[o])
	}
	for n := range s.ahead {
		_ = b.Delete(originKey(tableAhead, n), nil)
	}
	clear(s.ahead)
	for part := range byte(tokenParts) {
		_ = b.Delete(tokenKey(part), nil)
	}
	s.joining = nil
	if err := s.commit(b); err != nil {
		return err
	}
	return s.Sync()
}
