package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"replicator/oplog"
)

// formatV1 is the version of the layout in doc.go. Raise it when an older
// program would misread what this one writes.
const formatV1 = 1

// Options tune Open.
type Options struct {
	// Node is the node's name. Empty stands for the name in the store.
	Node string
	// Nonce was drawn at the start of this process. Required.
	Nonce oplog.Nonce
	// Epoch draws 64 random bits, at the first local write after Open. Default
	// crypto/rand.
	Epoch func() uint64
	// Ticket is what CloseWithTicket returned when the process before stopped,
	// if nobody else can have it: this one goes on with its epoch then.
	Ticket Ticket
	// MaxDrift is how far a foreign timestamp may be ahead of the wall clock
	// before the own clock stops following it. Default 5 minutes.
	MaxDrift time.Duration
	// MaxBuckets is the most buckets to join. Default 1024.
	MaxBuckets int
	// Ambiguous says what becomes of a put that may be older than a delete which
	// was collected here. Default Keep.
	Ambiguous Policy
	// Replica makes the store one that only follows others. It issues nothing,
	// so it holds no write that nobody else has seen, and may be emptied: see
	// Bucket.Wipe. A store that has ever written is refused with ErrHasWritten.
	Replica bool
	// DoubtFloor is how many rows a reconcile may remove on the word of one donor
	// even if they are more than a tenth of the bucket's: see DoubtfulError.
	// Default 1000; a negative one stands for none.
	DoubtFloor int
}

func (o *Options) setDefaults() {
	if o.Epoch == nil {
		o.Epoch = randomEpoch
	}
	if o.MaxDrift <= 0 {
		o.MaxDrift = 5 * time.Minute
	}
	if o.Ambiguous == "" {
		o.Ambiguous = Keep
	}
	if o.MaxBuckets <= 0 {
		o.MaxBuckets = oplog.MaxBucket
	}
	if o.DoubtFloor == 0 {
		o.DoubtFloor = doubtFloor
	}
	o.DoubtFloor = max(o.DoubtFloor, 0)
}

func randomEpoch() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}

// A Store is the disk of one node. Its methods may be called from several
// goroutines at once.
type Store struct {
	kv      KV
	opts    Options
	node    string
	nonce   oplog.Nonce
	prev    oplog.Nonce
	starts  uint64 // this one included
	started time.Time
	origins originTable

	mu       sync.Mutex // guards all below; taken after a bucket's
	buckets  map[string]*Bucket
	parted   map[string]parted // buckets that were left at some time
	nextID   uint32
	own      oplog.Origin // zero until the first write
	ownSaved bool         // self, with own in it, is in the store

	joining  sync.Mutex // held over Join and Drop
	failed   atomic.Pointer[error]
	readOnly atomic.Pointer[error]
	lowDisk  atomic.Pointer[LowDiskError]
	closed   atomic.Bool

	commits atomic.Uint64 // batches in memory and KV
	syncing sync.Mutex    // held over a sync; guards synced
	synced  uint64        // of commits, how many are durable and published
}

// Open opens the store in kv, which is created if kv is empty. It makes the
// nonce durable before it returns. Close closes kv; an Open that fails leaves
// that to the caller.
func Open(kv KV, now time.Time, o Options) (*Store, error) {
	o.setDefaults()
	if o.Nonce.IsZero() {
		return nil, errors.New("store: no nonce given")
	}
	s := &Store{kv: kv, opts: o, nonce: o.Nonce, started: now, buckets: make(map[string]*Bucket), parted: make(map[string]parted)}
	if err := checkFormat(kv); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	if err := s.origins.load(kv); err != nil {
		return nil, err
	}
	if err := s.loadBuckets(now); err != nil {
		return nil, err
	}
	return s, nil
}

func checkFormat(kv KV) error {
	b, ok, err := kv.Get(keyFormat)
	if err != nil || !ok {
		return err
	}
	if len(b) != 4 {
		return &CorruptError{Key: keyFormat, Reason: "format version of a wrong size"}
	}
	if v := binary.BigEndian.Uint32(b); v != formatV1 {
		return fmt.Errorf("%w (format %d, this program reads up to %d)", ErrNewerFormat, v, formatV1)
	}
	return nil
}

// begin settles the node's name and writes down that a new process runs.
func (s *Store) begin() error {
	was, _, err := loadSelf(s.kv)
	if err != nil {
		return err
	}
	switch s.node = s.opts.Node; {
	case s.node == "":
		s.node = was.node
	case was.node != "" && was.node != s.node:
		return &NodeNameError{Stored: was.node, Given: s.node}
	}
	if s.opts.Replica && was.epoch != 0 {
		return fmt.Errorf("%w: node %s", ErrHasWritten, s.node)
	}
	if s.node == "" {
		return ErrNoNode
	}
	if !oplog.ValidName(s.node) {
		return fmt.Errorf("store: node name %q: want 1 to %d letters, digits, _ or -", clip([]byte(s.node)), oplog.MaxName)
	}
	s.prev = was.nonce
	if was.nonce == s.nonce {
		s.prev = was.prev
	}
	s.starts = was.starts + 1
	s.claim(was)
	b := s.kv.NewBatch()
	b.Set(keyFormat, binary.BigEndian.AppendUint32(nil, formatV1))
	b.Set(keySelf, encodeSelf(s.self(was.epoch))) // without the ticket: it is used up
	if err := s.kv.Commit(b); err != nil {
		return fmt.Errorf("store: write nonce: %w", err)
	}
	return s.kv.Sync()
}

// Rename gives the node of a store that nobody has open another name. What it
// wrote so far keeps the old one.
func Rename(kv KV, newName string) error {
	if err := checkFormat(kv); err != nil {
		return err
	}
	was, ok, err := loadSelf(kv)
	if err != nil {
		return err
	}
	if !ok {
		return ErrNoNode
	}
	if !oplog.ValidName(newName) {
		return fmt.Errorf("store: node name %q: want 1 to %d letters, digits, _ or -", clip([]byte(newName)), oplog.MaxName)
	}
	was.node, was.ticket = newName, Ticket{}
	b := kv.NewBatch()
	b.Set(keySelf, encodeSelf(was))
	if err := kv.Commit(b); err != nil {
		return err
	}
	return kv.Sync()
}

// Node returns the node's name.
func (s *Store) Node() string { return s.node }

// Nonce returns the nonce of this process.
func (s *Store) Nonce() oplog.Nonce { return s.nonce }

// PrevNonce returns the nonce of the process before, zero for the first.
func (s *Store) PrevNonce() oplog.Nonce { return s.prev }

// Starts returns how many processes have opened the store, this one included.
func (s *Store) Starts() uint64 { return s.starts }

// Started returns the time given to Open.
func (s *Store) Started() time.Time { return s.started }

// Buckets returns the names of all buckets joined, sorted.
func (s *Store) Buckets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.buckets))
}

// Bucket returns the bucket of that name, if it was joined.
func (s *Store) Bucket(name string) (*Bucket, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.buckets[name]
	return b, ok
}

// Join returns the bucket of that name, which is created, durably, if needed. If it was
// dropped and the own epoch has counted writes of it, the next write to any bucket is of
// a new one: here seqs begin anew.
// Which names are reserved is for the caller to know.
func (s *Store) Join(name string) (*Bucket, error) {
	s.joining.Lock()
	defer s.joining.Unlock()
	if b, ok := s.Bucket(name); ok {
		return b, nil
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	if !oplog.ValidName(name) {
		return nil, fmt.Errorf("store: bucket name %q: want 1 to %d letters, digits, _ or -", clip([]byte(name)), oplog.MaxName)
	}
	if len(s.Buckets()) >= s.opts.MaxBuckets {
		return nil, fmt.Errorf("%w: limit %d", ErrTooManyBuckets, s.opts.MaxBuckets)
	}
	b := newBucket(s, s.nextID, name)
	batch := s.kv.NewBatch()
	batch.Set(numberKey(tableBuckets, b.id), []byte(name))
	was, parted := s.partedFrom(name)
	if was.left = false; parted {
		b.state.hlc = was.hlc // it never goes back
		batch.Set(leftKey(name), was.encode())
		batch.Set(bucketKey(tableMeta, b.id, 0), b.state.encodeMeta())
	}
	if err := s.commit(batch); err != nil {
		return nil, err
	}
	s.commits.Add(1)
	if err := s.Sync(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	s.buckets[name] = b
	if parted {
		s.parted[name] = was
		if _, used := was.wrote[s.own.Epoch]; used { // its seqs here were, and begin anew
			s.own = oplog.Origin{}
		}
	}
	return b, nil
}

func (s *Store) loadBuckets(now time.Time) error {
	s.nextID = 1
	lower, upper := []byte{tableBuckets}, []byte{tableBuckets + 1}
	err := walk(s.kv, lower, upper, func(key, value []byte) error {
		if len(key) != 5 || !oplog.ValidName(string(value)) {
			return errors.New("impossible bucket")
		}
		id := binary.BigEndian.Uint32(key[1:])
		s.buckets[string(value)] = newBucket(s, id, string(value))
		s.nextID = id + 1
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.loadParted(); err != nil {
		return err
	}
	for _, b := range s.buckets {
		if err := b.load(); err != nil {
			return err
		}
	}
	return s.finishSweeps(now)
}

// finishSweeps carries to their end the reconciles that a crash broke off after
// all was compared.
func (s *Store) finishSweeps(now time.Time) error {
	some := false
	for _, name := range slices.Sorted(maps.Keys(s.buckets)) {
		b := s.buckets[name]
		if err := b.replicaMaySweep(); err != nil {
			return err
		}
		swept, err := b.finishSweep(now, &Applied{}) // what it writes anew, the peers pull
		if err != nil {
			return err
		}
		some = some || swept
	}
	if !some {
		return nil
	}
	return s.sync()
}

// Sync makes durable all that was committed before the call, and only then
// publishes it as such: see Bucket.Durable. Calls that wait for each other
// share one sync of the disk.
func (s *Store) Sync() error {
	if s.closed.Load() {
		return ErrClosed
	}
	return s.sync()
}

func (s *Store) sync() error {
	ticket := s.commits.Load()
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if err := s.failure(); err != nil {
		return &ReadOnlyError{Cause: err}
	}
	if s.synced >= ticket {
		return nil
	}
	upTo := s.commits.Load()
	marks := s.capture()
	if err := s.kv.Sync(); err != nil {
		return s.fail(err)
	}
	for _, m := range marks {
		m.bucket.publish(m)
	}
	s.synced = upTo
	return nil
}

// capture notes the state of every bucket that changed since it was last
// published as durable.
func (s *Store) capture() []mark {
	s.mu.Lock()
	list := slices.Collect(maps.Values(s.buckets))
	s.mu.Unlock()
	var marks []mark
	for _, b := range list {
		if m, changed := b.capture(); changed {
			marks = append(marks, m)
		}
	}
	return marks
}

// commit hands the batch to the KV. Its caller counts it once memory follows.
func (s *Store) commit(b Batch) error {
	if err := s.kv.Commit(b); err != nil {
		return s.fail(err)
	}
	return nil
}

// fail makes the store read-only for good, unless err only says that it was
// closed meanwhile.
func (s *Store) fail(err error) error {
	if errors.Is(err, ErrClosed) {
		return ErrClosed
	}
	s.failed.CompareAndSwap(nil, &err)
	return &ReadOnlyError{Cause: err}
}

func (s *Store) failure() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	if kv, ok := s.kv.(interface{ Failed() error }); ok {
		return kv.Failed()
	}
	return nil
}

// Failed returns the first error of the disk under the store. From then on the
// store is read-only until a new process opens it.
func (s *Store) Failed() error { return s.failure() }

// SetReadOnly makes every write answer a *ReadOnlyError with this cause.
func (s *Store) SetReadOnly(cause error) { s.readOnly.Store(&cause) }

// ClearReadOnly ends what SetReadOnly began. A failed store, or one on a full
// disk, stays read-only.
func (s *Store) ClearReadOnly() { s.readOnly.Store(nil) }

// ReadOnly returns why the store takes no writes, nil if it takes them.
func (s *Store) ReadOnly() error {
	if err := s.failure(); err != nil {
		return err
	}
	if low := s.lowDisk.Load(); low != nil {
		return low
	}
	if cause := s.readOnly.Load(); cause != nil {
		return *cause
	}
	return nil
}

func (s *Store) writable() error {
	if s.closed.Load() {
		return ErrClosed
	}
	if cause := s.ReadOnly(); cause != nil {
		return &ReadOnlyError{Cause: cause}
	}
	return nil
}

// Close syncs and closes the store and its KV. Calls under way finish; open
// snapshots and scans end with ErrClosed, and so does every later call.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.end()
}

func (s *Store) end() error {
	var err error
	if s.failure() == nil {
		err = s.sync()
	}
	return errors.Join(err, s.kv.Close())
}
