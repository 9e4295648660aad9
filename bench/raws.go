package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/nats-io/nats.go"
)

const (
	rawGroup = 64      // puts of a batch of raw Pebble
	rawTable = 8 << 20 // bytes of a table that raw Pebble ingests
)

// rawPebble opens Pebble with its own defaults, but for the size of memory that a store
// has as well.
func rawPebble(dir string) (*pebble.DB, *pebble.Options, error) {
	opts := &pebble.Options{FormatMajorVersion: pebble.FormatValueSeparation, MemTableSize: 16 << 20, Logger: quiet{}}
	opts.EnsureDefaults()
	db, err := pebble.Open(filepath.Join(dir, "pebble"), opts)
	return db, opts, err
}

// quiet keeps Pebble's story to itself. A Pebble that cannot go on ends the process.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, v ...any) { panic(fmt.Sprintf("pebble: "+format, v...)) }

// rawWrites counts batches of so many puts.
func (r *runner) rawWrites(group int, synced bool) func(context.Context, string) (values, error) {
	return func(ctx context.Context, dir string) (_ values, err error) {
		db, _, err := rawPebble(dir)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		rule := pebble.NoSync
		if synced {
			rule = pebble.Sync
		}
		meter := startMeter()
		n := 0
		for end := time.Now().Add(r.Time); time.Now().Before(end) && ctx.Err() == nil; n += group {
			b := db.NewBatch()
			for i := range group {
				if err := b.Set(key(uint64(n+i)), r.value(uint64(n+i)), nil); err != nil {
					return nil, err
				}
			}
			if err := errors.Join(b.Commit(rule), b.Close()); err != nil {
				return nil, err
			}
		}
		return meter.stop(n), context.Cause(ctx)
	}
}

// rawIngest counts rows that come as tables, in order of key.
func (r *runner) rawIngest(keys int) func(context.Context, string) (values, error) {
	return func(ctx context.Context, dir string) (_ values, err error) {
		db, opts, err := rawPebble(dir)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		list := make([]uint64, keys)
		for i := range list {
			list[i] = uint64(i+1) * 0x9e3779b97f4a7c15
		}
		slices.Sort(list)
		meter := startMeter()
		perTable := rawTable / (20 + r.ValueSize)
		for n, some := range slices.Collect(slices.Chunk(list, perTable)) {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			path := filepath.Join(dir, fmt.Sprintf("table-%d", n))
			f, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
			if err != nil {
				return nil, err
			}
			w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), opts.MakeWriterOptions(0, db.TableFormat()))
			for i, k := range some {
				if err := w.Set(fmt.Appendf(nil, "key-%016x", k), r.value(uint64(i))); err != nil {
					return nil, errors.Join(err, w.Close())
				}
			}
			if err := w.Close(); err != nil {
				return nil, err
			}
			if err := db.Ingest(ctx, []string{path}); err != nil {
				return nil, err
			}
		}
		return meter.stop(keys), nil
	}
}

// rawConns are two connections to one broker, both of them inside of the process or both
// over TCP.
func (r *runner) rawConns(ctx context.Context, tcp bool) (*broker, *nats.Conn, *nats.Conn, error) {
	b, err := r.broker(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	connect := b.near
	if tcp {
		connect = b.remote
	}
	from, err := connect("from")
	if err != nil {
		return nil, nil, nil, errors.Join(err, b.close())
	}
	to, err := connect("to")
	if err != nil {
		return nil, nil, nil, errors.Join(err, b.close())
	}
	return b, from, to, nil
}

func listen(nc *nats.Conn, subject string, take nats.MsgHandler) error {
	sub, err := nc.Subscribe(subject, take)
	if err != nil {
		return err
	}
	return errors.Join(sub.SetPendingLimits(-1, -1), nc.FlushTimeout(10*time.Second))
}

// rawFlood counts messages of a key and a value that reach a subscriber.
func (r *runner) rawFlood(tcp bool) func(context.Context, string) (values, error) {
	return func(ctx context.Context, _ string) (_ values, err error) {
		b, from, to, err := r.rawConns(ctx, tcp)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, b.close()) }()
		var got atomic.Int64
		if err := listen(to, r.prefix+".flood", func(*nats.Msg) { got.Add(1) }); err != nil {
			return nil, err
		}
		body := make([]byte, 20+r.ValueSize)
		copy(body, noise())
		meter := startMeter()
		n := 0
		for end := time.Now().Add(r.Time); time.Now().Before(end) && ctx.Err() == nil; n++ {
			if err := from.Publish(r.prefix+".flood", body); err != nil {
				return nil, err
			}
			for n-int(got.Load()) > 100_000 && ctx.Err() == nil {
				time.Sleep(100 * time.Microsecond) // else it is memory that is measured
			}
		}
		err = await(ctx, "all messages arrive", func() bool { return got.Load() >= int64(n) })
		return meter.stop(n), err
	}
}

// rawOneWay asks how long a message takes to a subscriber.
func (r *runner) rawOneWay(tcp bool) func(context.Context, string) (values, error) {
	return func(ctx context.Context, _ string) (_ values, err error) {
		b, from, to, err := r.rawConns(ctx, tcp)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, b.close()) }()
		var p probes
		if err := listen(to, r.prefix+".way", func(m *nats.Msg) { p.arrived(m.Data) }); err != nil {
			return nil, err
		}
		return r.probe(ctx, &p, func(_, value []byte) error { return from.Publish(r.prefix+".way", value) })
	}
}

// rawRequest asks how long a request takes whose answer is as large as itself.
func (r *runner) rawRequest(tcp bool, size int) func(context.Context, string) (values, error) {
	return func(ctx context.Context, _ string) (_ values, err error) {
		b, from, to, err := r.rawConns(ctx, tcp)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, b.close()) }()
		var first error
		var once sync.Once
		if err := listen(to, r.prefix+".ask", func(m *nats.Msg) {
			if err := m.Respond(m.Data); err != nil {
				once.Do(func() { first = err })
			}
		}); err != nil {
			return nil, err
		}
		body := make([]byte, size)
		copy(body, noise())
		binary.BigEndian.PutUint64(body, 1)
		return r.ask(ctx, func() error {
			_, err := from.RequestWithContext(ctx, r.prefix+".ask", body)
			return errors.Join(err, first)
		})
	}
}

// ask times one question after the other, for as long as a run takes.
func (r *runner) ask(ctx context.Context, question func() error) (values, error) {
	var took []time.Duration
	for end := time.Now().Add(r.Time); time.Now().Before(end) || len(took) == 0; {
		began := time.Now()
		if err := question(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return middle(took), nil
}
