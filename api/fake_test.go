package api_test

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"replicator/api"
	"replicator/oplog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fake is a Backend over a map.
type fake struct {
	name    string
	replica bool

	mu       sync.Mutex // guards all below
	rows     map[string]map[string]oplog.Entry
	lost     []api.Lost // of bucket default
	settings map[string]api.BucketSettings
	seq      uint64
	unready  bool
	watchers map[chan api.WatchEvent]string
	block    chan struct{} // Get waits for it to close, if set
	blocked  chan struct{} // told once for each Get that waits
	sync     func(ctx context.Context, bucket string, progress func(api.SyncProgress)) error
}

func newFake(name string) *fake {
	f := &fake{
		name: name, rows: map[string]map[string]oplog.Entry{}, watchers: map[chan api.WatchEvent]string{},
		blocked: make(chan struct{}, 64), settings: map[string]api.BucketSettings{},
	}
	f.rows["default"] = map[string]oplog.Entry{}
	return f
}

func (f *fake) Name() string    { return f.name }
func (f *fake) Replica() bool   { return f.replica }
func (f *fake) Version() string { return "v1.2.3" }

func (f *fake) CreateBucket(_ context.Context, bucket string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rows[bucket] == nil {
		f.rows[bucket] = map[string]oplog.Entry{}
	}
	return nil
}

func (f *fake) LeaveBucket(_ context.Context, bucket string, now bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.rows[bucket] == nil:
		return api.ErrNoBucket
	case !now:
		return api.ErrNotHandedOver
	}
	delete(f.rows, bucket)
	return nil
}

func (f *fake) Settings() map[string]api.BucketSettings {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.settings)
}

func (f *fake) SetBuckets(_ context.Context, pattern string, s api.BucketSettings) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settings[pattern] = s
	return nil
}

func (f *fake) Ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.unready
}

func (f *fake) Get(ctx context.Context, bucket string, key []byte) (oplog.Entry, error) {
	f.mu.Lock()
	block := f.block
	e, ok := f.rows[bucket][string(key)]
	_, held := f.rows[bucket]
	f.mu.Unlock()
	if block != nil {
		f.blocked <- struct{}{}
		select {
		case <-block:
		case <-ctx.Done():
			return e, ctx.Err()
		}
	}
	switch {
	case !held:
		return e, api.ErrNoBucket.With("no bucket %q", bucket)
	case !ok || e.Tombstone:
		return e, api.ErrNotFound
	}
	return e, nil
}

func (f *fake) Write(_ context.Context, bucket string, ops []api.WriteOp, o api.WriteOptions) ([]api.WriteResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.rows[bucket]; !ok {
		if !o.CreateBucket {
			return nil, api.ErrNoBucket
		}
		f.rows[bucket] = map[string]oplog.Entry{}
	}
	for _, op := range ops {
		if err := f.refuses(bucket, op); o.Atomic && err != nil {
			return nil, err
		}
	}
	out := make([]api.WriteResult, 0, len(ops))
	for _, op := range ops {
		if _, ok := f.rows[bucket][string(op.Key)]; o.Atomic && op.Delete && !ok {
			out = append(out, api.WriteResult{Err: api.ErrNotFound})
			continue
		}
		out = append(out, f.write(bucket, op, o))
	}
	return out, nil
}

// refuses returns why the op's condition does not hold.
func (f *fake) refuses(bucket string, op api.WriteOp) *api.Error {
	old, ok := f.rows[bucket][string(op.Key)]
	live := ok && !old.Tombstone
	switch {
	case op.If.Absent && live:
		return api.ErrExists
	case op.If.Revision.Seq != 0 && (!live || old.Dot() != op.If.Revision):
		return api.ErrRevision
	}
	return nil
}

func (f *fake) write(bucket string, op api.WriteOp, o api.WriteOptions) api.WriteResult {
	old, ok := f.rows[bucket][string(op.Key)]
	if err := f.refuses(bucket, op); err != nil {
		return api.WriteResult{Err: err}
	}
	if o.SkipUnchanged && ok && !old.Tombstone && !op.Delete && old.Type == op.Type && bytes.Equal(old.Value, op.Value) {
		return api.WriteResult{Stamp: old.Stamp, Unchanged: true}
	}
	f.seq++
	e := oplog.Entry{
		Key: bytes.Clone(op.Key), Value: bytes.Clone(op.Value), Tombstone: op.Delete, Expiry: op.Expiry, Type: op.Type,
		Stamp: oplog.Stamp{
			HLC:    oplog.HLCAt(time.Unix(1700000000, 0)) + oplog.HLC(f.seq),
			Origin: oplog.Origin{Node: f.name, Epoch: 7}, Seq: f.seq,
		},
	}
	f.rows[bucket][string(op.Key)] = e
	for ch, b := range f.watchers {
		if b == bucket {
			ch <- api.WatchEvent{Entry: e, Local: true}
		}
	}
	return api.WriteResult{Stamp: e.Stamp}
}

func (f *fake) DeletePrefix(ctx context.Context, bucket string, prefix, after []byte, limit int) (int, []byte, error) {
	n, last := 0, []byte(nil)
	for e, err := range f.Scan(ctx, bucket, api.ScanOptions{Prefix: prefix, After: after, Limit: limit}) {
		if err != nil {
			return n, nil, err
		}
		if _, err := f.Write(ctx, bucket, []api.WriteOp{{Key: e.Key, Delete: true}}, api.WriteOptions{}); err != nil {
			return n, nil, err
		}
		if n++; n == limit {
			last = e.Key
		}
	}
	return n, last, nil
}

// Held has the fake itself hold everything, and nobody else anything.
func (f *fake) Held(ctx context.Context, bucket string, q api.Quorum, tokens []oplog.Dot) (api.Holding, error) {
	return q.Hold(ctx, bucket, f.Status(ctx).Members, func(ctx context.Context, node string) error {
		if node == f.name {
			return f.Reached(ctx, bucket, tokens, true)
		}
		<-ctx.Done()
		return ctx.Err()
	})
}

func (f *fake) Scan(_ context.Context, bucket string, o api.ScanOptions) iter.Seq2[oplog.Entry, error] {
	return func(yield func(oplog.Entry, error) bool) {
		f.mu.Lock()
		rows, ok := maps.Clone(f.rows[bucket]), f.rows[bucket] != nil
		f.mu.Unlock()
		if !ok {
			yield(oplog.Entry{}, api.ErrNoBucket)
			return
		}
		n := 0
		for _, key := range slices.Sorted(maps.Keys(rows)) {
			e := rows[key]
			skip := e.Tombstone || !bytes.HasPrefix(e.Key, o.Prefix) || len(o.After) > 0 && key <= string(o.After)
			if skip {
				continue
			}
			if n++; o.Limit > 0 && n > o.Limit || !yield(e, nil) {
				return
			}
		}
	}
}

func (f *fake) Watch(ctx context.Context, bucket string, q api.WatchQuery) iter.Seq2[api.WatchEvent, error] {
	ch := make(chan api.WatchEvent, 1<<16)
	f.mu.Lock()
	_, ok := f.rows[bucket]
	f.watchers[ch] = bucket
	f.mu.Unlock()
	return func(yield func(api.WatchEvent, error) bool) {
		defer func() {
			f.mu.Lock()
			delete(f.watchers, ch)
			f.mu.Unlock()
		}()
		if !ok {
			yield(api.WatchEvent{}, api.ErrNoBucket)
			return
		}
		for {
			select {
			case ev := <-ch:
				if bytes.HasPrefix(ev.Entry.Key, q.Prefix) && !yield(ev, nil) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// Reached has all up to what was written last.
func (f *fake) Reached(ctx context.Context, _ string, tokens []oplog.Dot, _ bool) error {
	for _, t := range tokens {
		f.mu.Lock()
		seq := f.seq
		f.mu.Unlock()
		if t.Origin.Node != f.name || t.Seq > seq {
			<-ctx.Done()
			return api.ErrBehind.With("behind by %d writes", t.Seq-min(seq, t.Seq))
		}
	}
	return nil
}

func (f *fake) Status(context.Context) api.Status {
	behind := uint64(3)
	return api.Status{Node: f.name, Version: "v1.2.3", Ready: f.Ready(), Buckets: []api.BucketStatus{
		{Name: "default", Keys: 2, Hash: api.Hex(1), Peers: []api.BucketPeer{{Node: "z", Behind: &behind}}},
	}, Members: []api.MemberStatus{{Node: f.name, State: "live", Buckets: []string{"default"}}, {Node: "z", State: "stopped", Buckets: []string{"default"}}}}
}

func (f *fake) Verify(_ context.Context, bucket string, _ api.VerifyOptions) ([]api.BucketDigest, error) {
	if bucket == "" {
		bucket = "default"
	}
	return []api.BucketDigest{{Bucket: bucket, Clock: map[string]uint64{"a/0000000000000007": 2}, Hash: api.Hex(9), Pure: true}}, nil
}

func (f *fake) Sync(ctx context.Context, bucket string, progress func(api.SyncProgress)) error {
	if f.sync != nil {
		return f.sync(ctx, bucket, progress)
	}
	progress(api.SyncProgress{Bucket: bucket, Peer: "z", Keys: 5, InSync: true})
	return nil
}

func (f *fake) Leave(_ context.Context, now bool) error {
	if !now {
		return api.ErrNotHandedOver.With("b lacks writes")
	}
	return nil
}

func (f *fake) Forget(_ context.Context, node string, force bool) error {
	if node == "alive" && !force {
		return api.ErrMemberLive
	}
	return nil
}

func (f *fake) Readmit(_ context.Context, node string) error {
	if node != "gone" {
		return api.ErrNoMember
	}
	return nil
}

func (f *fake) Collect(_ context.Context, bucket string, age time.Duration) ([]api.BucketCollected, error) {
	if bucket == "" {
		bucket = "default"
	}
	return []api.BucketCollected{{Bucket: bucket, Rows: int(age / time.Hour)}}, nil
}

func (f *fake) AcceptReconcile(_ context.Context, bucket string, _ api.Doubt) (api.Doubt, error) {
	if bucket != "orders" && bucket != "_fleet" {
		return api.Doubt{}, api.ErrNoDoubt
	}
	return api.Doubt{Nodes: []string{"b"}, Removes: 2, Rows: 3}, nil
}

func (f *fake) Conflicts(_ context.Context, bucket string) iter.Seq2[api.Lost, error] {
	return func(yield func(api.Lost, error) bool) {
		f.mu.Lock()
		list, held := slices.Clone(f.lost), f.rows[bucket] != nil
		f.mu.Unlock()
		if !held {
			yield(api.Lost{}, api.ErrNoBucket)
			return
		}
		for _, l := range list {
			if !yield(l, nil) {
				return
			}
		}
	}
}

func (f *fake) TakeConflict(_ context.Context, bucket string, dot oplog.Dot) (oplog.Stamp, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, l := range f.lost {
		if l.Entry.Dot() == dot {
			f.lost = slices.Delete(f.lost, i, i+1)
			op := api.WriteOp{Key: l.Entry.Key, Value: l.Entry.Value, Delete: l.Entry.Tombstone}
			return f.write(bucket, op, api.WriteOptions{}).Stamp, nil
		}
	}
	return oplog.Stamp{}, api.ErrNotFound
}

// broker starts a nats-server that ends with the test.
func broker(t *testing.T, name string, change func(*server.Options)) string {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, ServerName: name, NoLog: true, NoSigs: true}
	if change != nil {
		change(opts)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server does not start")
	}
	return srv.ClientURL()
}

func dial(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func serve(t *testing.T, url string, b api.Backend, o api.ServiceOptions) {
	t.Helper()
	nc := dial(t, url)
	s, err := api.NewService(nc, b, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func client(t *testing.T, nc *nats.Conn, o api.ClientOptions) *api.Client {
	t.Helper()
	c, err := api.NewClient(nc, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// pair is one node a and a client of it.
func pair(t *testing.T) (*fake, *api.Client, *nats.Conn) {
	t.Helper()
	url := broker(t, "a", nil)
	f := newFake("a")
	serve(t, url, f, api.ServiceOptions{})
	nc := dial(t, url)
	return f, client(t, nc, api.ClientOptions{}), nc
}
