package bareloop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"replicator/oplog"
)

const (
	memTable  = 16 << 20 // bytes
	memTables = 2        // filled before writers wait
)

// Bucket is the name of the one bucket.
const Bucket = "default"

// A Store is the disk of a loop. Its methods may be called from several goroutines.
type Store struct {
	dir   string
	db    *pebble.DB
	opts  *pebble.Options
	cache *pebble.Cache
	self  []byte // of the row that says who the store belongs to, up to the epoch
	node  string
	own   oplog.Origin

	mu      sync.Mutex // held over reading, checking and commit; guards all below
	numbers map[oplog.Origin]originNo
	origins []oplog.Origin          // by number-1
	unsaved []originNo              // drawn, not in the store
	clock   map[originNo]oplog.Seq  // up to where all is here
	ahead   map[originNo]oplog.Seq  // highest that came by a catch-up under way
	parts   [oplog.HashParts]uint64 // sums of the row hashes
	touched [oplog.HashParts]bool   // since the last commit
	hlc     oplog.HLC               // the highest issued or merged
	keys    uint64                  // rows
	joining *joining                // the catch-up under way
	batch   map[string]held         // rows that the batch being built is about, those that are none left out
	about   [][]byte                // scratch: its keys
	key     []byte                  // scratch
	row     []byte                  // scratch
	ingests int                     // names tables
}

// held is what has to be known of a row to replace it.
type held struct {
	stamp stamp
	hash  uint64
}

// Options say who a Store belongs to. All are required.
type Options struct {
	Node  string
	Nonce oplog.Nonce
	Epoch oplog.Epoch
}

// Open makes a store in dir, which has to be empty: a loop never opens one again.
func Open(dir string, o Options) (*Store, error) {
	s := &Store{
		dir: dir, node: o.Node, own: oplog.Origin{Node: o.Node, Epoch: o.Epoch}, cache: pebble.NewCache(32<<20 + memTables*memTable),
		numbers: map[oplog.Origin]originNo{}, clock: map[originNo]oplog.Seq{}, ahead: map[originNo]oplog.Seq{}, batch: map[string]held{},
	}
	s.opts = pebbleOptions(s.cache)
	s.opts.EnsureDefaults() // Open does it to a copy
	var err error
	if s.db, err = pebble.Open(dir, s.opts); err != nil {
		s.cache.Unref()
		return nil, err
	}
	var none oplog.Nonce // of the start before
	s.self = append(append([]byte{1}, o.Nonce[:]...), none[:]...)
	if err := s.begin(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// pebbleOptions are those of store.
func pebbleOptions(cache *pebble.Cache) *pebble.Options {
	opts := &pebble.Options{
		Cache:              cache,
		FormatMajorVersion: pebble.FormatValueSeparation,
		Logger:             quiet{},
		MaxOpenFiles:       512,
		MemTableSize:       memTable,

		MemTableStopWritesThreshold: memTables,
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return opts
}

// quiet keeps Pebble's story to itself. A Pebble that cannot go on ends the process.
type quiet struct{}

func (quiet) Infof(string, ...any) {}
func (quiet) Errorf(format string, v ...any) {
	slog.Error("bare loop: pebble", "error", fmt.Sprintf(format, v...))
}

func (quiet) Fatalf(format string, v ...any) { panic(fmt.Sprintf("bare loop: pebble: "+format, v...)) }

func (s *Store) begin() error {
	b := s.db.NewBatch()
	_ = b.Set([]byte("\x01format"), []byte{0, 0, 0, 1}, nil)
	s.setSelf(b, 0)
	_ = b.Set(numberKey(tableBuckets, bucketID), []byte(Bucket), nil)
	return s.db.Apply(b, pebble.Sync)
}

// setSelf writes the row that says whose the store is.
func (s *Store) setSelf(b *pebble.Batch, epoch oplog.Epoch) {
	const starts = 1
	v := binary.BigEndian.AppendUint64(slices.Clip(s.self), epoch)
	v = binary.BigEndian.AppendUint64(v, starts)
	v = append(v, make([]byte, 16)...) // no ticket
	_ = b.Set([]byte("\x01self"), append(v, s.node...), nil)
}

// Sync makes all that was committed durable.
func (s *Store) Sync() error { return s.db.LogData(nil, pebble.Sync) }

// Close closes the store. Nothing may be at work in it.
func (s *Store) Close() error {
	err := s.db.Close()
	s.cache.Unref()
	return err
}

// Covers returns up to where all writes of the origin are here.
func (s *Store) Covers(o oplog.Origin) oplog.Seq {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock[s.numbers[o]]
}

// Own is the origin of what is written here.
func (s *Store) Own() oplog.Origin { return s.own }

func (s *Store) number(o oplog.Origin) originNo {
	if n := s.numbers[o]; n != 0 {
		return n
	}
	s.origins = append(s.origins, o)
	n := originNo(len(s.origins))
	s.numbers[o] = n
	s.unsaved = append(s.unsaved, n)
	return n
}

// read makes known the rows of keys, which it sorts: through one iterator, as store does.
func (s *Store) read(keys [][]byte) error {
	slices.SortFunc(keys, bytes.Compare)
	it, err := s.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return err
	}
	for _, key := range keys {
		s.key = appendDataKey(s.key[:0], key)
		if !it.SeekPrefixGE(s.key) || !bytes.Equal(it.Key(), s.key) {
			continue
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		r, err := parseRow(v)
		if err != nil {
			return errors.Join(err, it.Close())
		}
		s.batch[string(key)] = held{stamp: r.stamp, hash: r.hash}
	}
	return it.Close() // tells of what a seek met, too
}

// put has the batch replace the row base, which may be none.
func (s *Store) put(b *pebble.Batch, base held, key, value []byte, st, prev stamp) {
	hash := hashOf(key, value, st.hlc, s.origins[st.no-1], st.seq)
	part := oplog.HashPart(key)
	if base.stamp.isZero() {
		s.keys++
	} else {
		s.parts[part] -= base.hash
		s.key = appendLogKey(s.key[:0], base.stamp.no, base.stamp.seq)
		_ = b.Delete(s.key, nil)
	}
	s.parts[part] += hash
	s.touched[part] = true
	s.row = appendRow(s.row[:0], st, prev, hash, value)
	s.key = appendDataKey(s.key[:0], key)
	_ = b.Set(s.key, s.row, nil)
	s.key = appendLogKey(s.key[:0], st.no, st.seq)
	_ = b.Set(s.key, key, nil)
	s.batch[string(key)] = held{stamp: st, hash: hash}
}

// commit adds what belongs to every batch, and applies it. It does not sync.
func (s *Store) commit(b *pebble.Batch) error {
	for part, is := range s.touched {
		if is {
			s.key = partKey(s.key[:0], part)
			_ = b.Set(s.key, binary.BigEndian.AppendUint64(s.row[:0], s.parts[part]), nil)
		}
	}
	clear(s.touched[:])
	clear(s.batch)
	meta := append(s.row[:0], 1)
	for _, n := range []uint64{uint64(s.hlc), 0, s.keys, s.keys} {
		meta = binary.BigEndian.AppendUint64(meta, n)
	}
	_ = b.Set(appendKey(s.key[:0], tableMeta), meta, nil)
	for _, n := range s.unsaved {
		o := s.origins[n-1]
		_ = b.Set(numberKey(tableOrigins, n), append(binary.BigEndian.AppendUint64(nil, o.Epoch), o.Node...), nil)
		if o == s.own {
			s.setSelf(b, o.Epoch)
		}
	}
	s.unsaved = s.unsaved[:0]
	if err := s.db.Apply(b, pebble.NoSync); err != nil {
		return err
	}
	return b.Close()
}

// setClock covers an origin up to seq.
func (s *Store) setClock(b *pebble.Batch, n originNo, seq oplog.Seq) {
	s.clock[n] = seq
	_ = b.Set(originKey(tableClock, n), binary.BigEndian.AppendUint64(nil, seq), nil)
}
