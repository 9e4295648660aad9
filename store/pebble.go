package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleFormat pins Pebble's own on-disk format. Ratchets are one-way: raise
// it only together with a note on upgrading.
const pebbleFormat = pebble.FormatValueSeparation

// memTables is how many of them Pebble fills before writers wait. It reserves their
// memory out of the block cache: without room for them there would be no cache.
const memTables = 2

// PebbleOptions tune OpenPebble. The zero value is ready to use.
type PebbleOptions struct {
	// FS is where the store lies. Default the operating system's.
	FS vfs.FS
	// CacheBytes is the size of the block cache, beside what MemTableBytes takes.
	// Default 32 MiB.
	CacheBytes int64
	// MemTableBytes is how much is gathered in memory before it is written out
	// as a table; about twice that is used. Default 16 MiB.
	MemTableBytes uint64
	// Holder is what another process is told about who holds the folder, beside
	// the process id: a node name, say.
	Holder string
	// Logger hears what goes wrong below. Default slog.Default.
	Logger *slog.Logger
	// OnFailure is called once, on a goroutine of its own, when the disk failed
	// for good. From then on every commit and sync answers the same error;
	// reads go on. Only a new process can write again.
	OnFailure func(error)
}

func (o *PebbleOptions) setDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 32 << 20
	}
	if o.MemTableBytes <= 0 {
		o.MemTableBytes = 16 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// A pebbleKV is a KV on a disk.
//
// Pebble ends the process when its WAL fails, panics on calls after Close, and
// blocks for ever when it cannot flush. Here all three turn into errors: see
// failure, gate and Commit.
type pebbleKV struct {
	dir     string
	db      *pebble.DB
	cache   *pebble.Cache
	lock    io.Closer
	log     *slog.Logger
	failure *failure

	gate    sync.RWMutex // held for reading by each call, for writing by Close
	closed  bool
	handles map[io.Closer]struct{} // open iterators and snapshots
	mu      sync.Mutex             // guards handles

	committed atomic.Uint64 // commits that returned
	synced    atomic.Uint64 // of these, how many are durable
}

// OpenPebble opens the store in dir, which is created if needed. A folder held
// by somebody else is a *LockedError, one that cannot be understood an
// *UnreadableError. After an error of the disk the folder may stay locked until
// the process ends: parts of Pebble may still be at work in it.
func OpenPebble(dir string, o PebbleOptions) (KV, error) {
	o.setDefaults()
	if err := o.FS.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("store: create folder: %w", err)
	}
	lock, err := lockDir(dir, o)
	if err != nil {
		return nil, err
	}
	kv := &pebbleKV{
		lock:    lock,
		log:     o.Logger,
		cache:   pebble.NewCache(o.CacheBytes + memTables*int64(o.MemTableBytes)),
		dir:     dir,
		failure: newFailure(o.Logger, o.OnFailure),
		handles: make(map[io.Closer]struct{}),
	}
	if err := kv.open(lock, o); err != nil {
		kv.cache.Unref()
		return nil, errors.Join(openError(dir, err), lock.Close())
	}
	return kv, nil
}

// open opens Pebble. Once a flush has begun, an error leaves the open where it
// stands: see recovering.
func (kv *pebbleKV) open(lock *pebble.Lock, o PebbleOptions) error {
	var db *pebble.DB
	err := kv.await(func() (err error) {
		db, err = pebble.Open(kv.dir, kv.options(lock, o))
		return err
	})
	if err != nil {
		return err
	}
	kv.db = db
	kv.failure.enter(running)
	return nil
}

func (kv *pebbleKV) options(lock *pebble.Lock, o PebbleOptions) *pebble.Options {
	opts := &pebble.Options{
		Cache:              kv.cache,
		FS:                 &guardFS{FS: o.FS, failure: kv.failure},
		FormatMajorVersion: pebbleFormat,
		Lock:               lock,
		Logger:             &pebbleLogger{failure: kv.failure},
		MaxOpenFiles:       512,
		MemTableSize:       o.MemTableBytes,

		MemTableStopWritesThreshold: memTables,

		EventListener: &pebble.EventListener{
			BackgroundError: kv.failure.background,
			FlushBegin:      func(pebble.FlushInfo) { kv.failure.leave(starting, recovering) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				kv.failure.report("data corruption", fmt.Errorf("%s: %w", info.Path, info.Details))
			},
		},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return opts
}

func openError(dir string, err error) error {
	switch {
	case strings.Contains(err.Error(), "unknown format major version"):
		return fmt.Errorf("%w (%s)", ErrNewerFormat, dir)
	case vfs.IsNoSpaceError(err):
		return fmt.Errorf("store: %s cannot be opened, its disk is full: %w", dir, err)
	}
	return &UnreadableError{Dir: dir, Cause: err}
}

// readError gives damaged bytes on the disk the same words as at the start.
func (kv *pebbleKV) readError(err error) error {
	if err != nil && pebble.IsCorruptionError(err) {
		return &UnreadableError{Dir: kv.dir, Cause: err}
	}
	return err
}

// rescue turns a panic of Pebble on the caller's goroutine into an error.
func (kv *pebbleKV) rescue(err *error) {
	switch p := recover().(type) {
	case nil:
	case fatal:
		*err = p.error
	case error:
		*err = fmt.Errorf("store: pebble: %w", p)
		kv.failure.set(*err)
	default:
		*err = fmt.Errorf("store: pebble: %v", p)
		kv.failure.set(*err)
	}
}

// enter lets a call in unless the KV is closed. The caller must leave.
func (kv *pebbleKV) enter() error {
	kv.gate.RLock()
	if kv.closed {
		kv.gate.RUnlock()
		return ErrClosed
	}
	return nil
}

func (kv *pebbleKV) leave() { kv.gate.RUnlock() }

// Get implements Reader.
func (kv *pebbleKV) Get(key []byte) ([]byte, bool, error) {
	return kv.get(kv.db, key)
}

func (kv *pebbleKV) get(r pebble.Reader, key []byte) (value []byte, ok bool, err error) {
	if err := kv.enter(); err != nil {
		return nil, false, err
	}
	defer kv.leave()
	defer kv.rescue(&err)
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, kv.readError(err)
	}
	value = bytes.Clone(v)
	return value, true, closer.Close()
}

// Iter implements Reader.
func (kv *pebbleKV) Iter(lower, upper []byte) (Iterator, error) {
	return kv.iter(kv.db, lower, upper)
}

func (kv *pebbleKV) iter(r pebble.Reader, lower, upper []byte) (_ Iterator, err error) {
	if err := kv.enter(); err != nil {
		return nil, err
	}
	defer kv.leave()
	defer kv.rescue(&err)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, kv.readError(err)
	}
	p := &pebbleIter{kv: kv, it: it}
	kv.hold(p)
	return p, nil
}

// Snapshot implements KV.
func (kv *pebbleKV) Snapshot() KVSnapshot {
	s := &pebbleSnapshot{kv: kv}
	if kv.enter() != nil {
		s.closed = true
		return s
	}
	defer kv.leave()
	s.snap = kv.db.NewSnapshot()
	kv.hold(s)
	return s
}

func (kv *pebbleKV) hold(c io.Closer) {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	kv.handles[c] = struct{}{}
}

func (kv *pebbleKV) drop(c io.Closer) {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	delete(kv.handles, c)
}

// Failed returns the error that ended commits, if one did.
func (kv *pebbleKV) Failed() error { return kv.failure.get() }

// Close implements KV. It waits for calls that are under way and closes what
// iterators and snapshots are still open; their owners get ErrClosed. A KV that
// failed is left as a crash would leave it, its folder locked until the process
// ends: parts of Pebble may still be at work in it.
func (kv *pebbleKV) Close() error {
	kv.gate.Lock()
	defer kv.gate.Unlock()
	if kv.closed {
		return nil
	}
	kv.closed = true
	kv.closeHandles()
	if err := kv.failure.get(); err != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	err := kv.syncWAL()
	if kv.failure.get() != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	kv.failure.enter(closing)
	err = errors.Join(err, kv.await(kv.db.Close))
	if kv.failure.get() != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	kv.cache.Unref()
	return errors.Join(err, kv.lock.Close())
}

func (kv *pebbleKV) closeHandles() {
	kv.mu.Lock()
	list := make([]io.Closer, 0, len(kv.handles))
	for _, snapshots := range []bool{false, true} {
		for c := range kv.handles {
			if _, ok := c.(*pebbleSnapshot); ok == snapshots {
				list = append(list, c)
			}
		}
	}
	kv.mu.Unlock()
	for _, c := range list {
		switch c := c.(type) {
		case *pebbleIter:
			_ = c.end()
		case *pebbleSnapshot:
			_ = c.end()
		}
	}
}
