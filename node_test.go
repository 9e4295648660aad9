package replicator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"replicator"
	"replicator/oplog"
	"replicator/store"
)

func TestMain(m *testing.M) {
	cleanup := memoryOfMachine()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		cleanup()
		os.Exit(code)
	}))
}

// memoryOfMachine gives the nodes of this run a folder of their own for the
// tickets of clean stops, where the machine has one in memory.
func memoryOfMachine() (cleanup func()) {
	dir, err := os.MkdirTemp("/dev/shm", "replicator-test-")
	if err != nil {
		return func() {} // the program has no such folder either
	}
	if err := os.Setenv("XDG_RUNTIME_DIR", dir); err != nil {
		panic(err)
	}
	return func() { _ = os.RemoveAll(dir) }
}

// startServer runs a NATS server on loopback until the test ends.
func startServer(tb testing.TB, users ...*server.User) *server.Server {
	tb.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, Users: users})
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		tb.Fatal("NATS server does not start")
	}
	tb.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func connect(tb testing.TB, url, name string) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url, replicator.ConnectOptions("replicator "+name, slog.New(slog.DiscardHandler))...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

func open(tb testing.TB, url string, cfg replicator.Config) *replicator.Node {
	tb.Helper()
	cfg.Conn = connect(tb, url, cfg.Node)
	if cfg.Dir == "" {
		cfg.Dir = tb.TempDir()
	}
	n, err := replicator.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Errorf("close %s: %v", cfg.Node, err)
		}
	})
	return n
}

func bucket(tb testing.TB, n *replicator.Node) *replicator.Bucket {
	tb.Helper()
	b, err := n.Bucket(replicator.DefaultBucket)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// eventually waits for a condition that other goroutines bring about.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("never happened: %s", what)
		}
		<-tick.C
	}
}

func has(b *replicator.Bucket, key, value string) func() bool {
	return func() bool {
		e, err := b.Get(context.Background(), []byte(key))
		return err == nil && string(e.Value) == value
	}
}

func put(tb testing.TB, b *replicator.Bucket, key, value string) replicator.Entry {
	tb.Helper()
	e, err := b.Put(tb.Context(), []byte(key), []byte(value))
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func TestTwoMastersConverge(t *testing.T) {
	for _, codec := range []oplog.Codec{oplog.Msgpack, oplog.JSON} {
		t.Run(string(codec), func(t *testing.T) {
			s := startServer(t)
			a := open(t, s.ClientURL(), replicator.Config{Node: "a", Codec: codec})
			ba := bucket(t, a)
			for i := range 500 {
				put(t, ba, fmt.Sprintf("early-%03d", i), "from a")
			}
			b := open(t, s.ClientURL(), replicator.Config{Node: "b", Codec: oplog.Msgpack})
			bb := bucket(t, b)
			eventually(t, "b has what a wrote before b was there", has(bb, "early-499", "from a"))
			put(t, ba, "live", "a to b")
			put(t, bb, "back", "b to a")
			eventually(t, "live from a", has(bb, "live", "a to b"))
			eventually(t, "live from b", has(ba, "back", "b to a"))
			if _, err := ba.Delete(t.Context(), []byte("back")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the delete arrives", func() bool {
				_, err := bb.Get(t.Context(), []byte("back"))
				return errors.Is(err, replicator.ErrNotFound)
			})
			eventually(t, "equal clocks", func() bool { return ba.Clock().Equal(bb.Clock()) })
		})
	}
}

func TestWritesMadeApartAreMergedByStamp(t *testing.T) {
	one, other := startServer(t), startServer(t)
	dirs := map[string]string{"a": t.TempDir(), "b": t.TempDir()}
	a := open(t, one.ClientURL(), replicator.Config{Node: "a", Dir: dirs["a"]})
	b := open(t, other.ClientURL(), replicator.Config{Node: "b", Dir: dirs["b"]})
	for i := range 200 {
		key := fmt.Sprintf("key-%03d", i)
		put(t, bucket(t, a), key, "a wrote first")
		put(t, bucket(t, b), key, "b wrote last")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, one.ClientURL(), replicator.Config{Node: "b", Dir: dirs["b"]})
	for i := range 200 {
		key := fmt.Sprintf("key-%03d", i)
		eventually(t, key+" at a", has(bucket(t, a), key, "b wrote last"))
		eventually(t, key+" at b", has(bucket(t, b), key, "b wrote last"))
	}
}

func TestLargeValuesAreAnnouncedAndPulled(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), replicator.Config{Node: "a"})
	b := open(t, s.ClientURL(), replicator.Config{Node: "b"})
	for _, size := range []int{1 << 20, 16 << 20} {
		value := strings.Repeat("\x00\xff\n", size/3)
		put(t, bucket(t, a), fmt.Sprint(size), value)
		eventually(t, fmt.Sprintf("%d bytes arrive", size), has(bucket(t, b), fmt.Sprint(size), value))
	}
}

func TestReadAfterPut(t *testing.T) {
	for _, durability := range []replicator.Durability{replicator.DurabilitySync, replicator.DurabilityInterval} {
		t.Run(string(durability), func(t *testing.T) {
			a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a", Durability: durability})
			b := bucket(t, a)
			for i := range 100 {
				if put(t, b, "k", fmt.Sprint(i)); !has(b, "k", fmt.Sprint(i))() {
					t.Fatalf("put %d is not read back", i)
				}
			}
		})
	}
}

func TestWatchSeesLocalAndForeignChanges(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), replicator.Config{Node: "a"})
	b := open(t, s.ClientURL(), replicator.Config{Node: "b"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := bucket(t, b).Watch(ctx, replicator.WatchOptions{Prefix: []byte("w/")})
	put(t, bucket(t, a), "other", "not watched")
	put(t, bucket(t, a), "w/1", "foreign")
	eventually(t, "w/1 is at b", has(bucket(t, b), "w/1", "foreign"))
	put(t, bucket(t, b), "w/2", "local")
	var seen []string
	for ev, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, fmt.Sprintf("%s=%s local=%v", ev.Entry.Key, ev.Entry.Value, ev.Local))
		if len(seen) == 2 {
			break
		}
	}
	if got := strings.Join(seen, ", "); got != "w/1=foreign local=false, w/2=local local=true" {
		t.Errorf("watch saw %s", got)
	}
}

func TestScanIsOrderedAndBounded(t *testing.T) {
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a"})
	b := bucket(t, a)
	for _, k := range []string{"b/2", "a", "b/1", "c", "b/3"} {
		put(t, b, k, k)
	}
	var keys []string
	for e, err := range b.Scan(t.Context(), replicator.ScanOptions{Prefix: []byte("b/"), Limit: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, string(e.Key))
	}
	if strings.Join(keys, " ") != "b/1 b/2" {
		t.Errorf("scan gave %v", keys)
	}
}

func TestWrongInputChangesNothing(t *testing.T) {
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a"})
	b := bucket(t, a)
	for name, err := range map[string]error{
		"empty key":   second(b.Put(t.Context(), nil, nil)),
		"long key":    second(b.Put(t.Context(), bytes.Repeat([]byte("k"), oplog.MaxKey+1), nil)),
		"large value": second(b.Put(t.Context(), []byte("k"), make([]byte, oplog.MaxValue+1))),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := a.Bucket("nobody-made-it"); !errors.Is(err, replicator.ErrNoBucket) {
		t.Errorf("unknown bucket: %v", err)
	}
	if _, err := a.CreateBucket("_fleet"); err == nil {
		t.Error("a reserved bucket was created")
	}
	if _, err := b.Delete(t.Context(), []byte("nothing there")); !errors.Is(err, replicator.ErrNotFound) {
		t.Errorf("delete of no row: %v", err)
	}
	if len(b.Clock()) != 0 || b.Keys() != 0 {
		t.Errorf("something was written: %v", b.Clock())
	}
}

func second[T any](_ T, err error) error { return err }

func TestClosedNodeRefuses(t *testing.T) {
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a"})
	b := bucket(t, a)
	for range 2 {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Put(t.Context(), []byte("k"), nil); !errors.Is(err, replicator.ErrClosed) {
		t.Errorf("put after close: %v", err)
	}
	if _, err := b.Get(t.Context(), []byte("k")); !errors.Is(err, replicator.ErrClosed) {
		t.Errorf("get after close: %v", err)
	}
}

func TestNearlyFullDiskIsLogged(t *testing.T) {
	var log lines
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a", LowWater: 1 << 62, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	eventually(t, "the log tells of it", func() bool {
		return strings.Count(log.String(), "the disk is nearly full, no more writes are taken") == 1
	})
	if a.Status(t.Context()).NoWrite == "" {
		t.Error("a nearly full disk takes writes")
	}
}

// lines may be read while somebody logs.
type lines struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestYoungerDuplicateIsFenced(t *testing.T) {
	s := startServer(t)
	older := open(t, s.ClientURL(), replicator.Config{Node: "same"})
	younger := open(t, s.ClientURL(), replicator.Config{Node: "same"})
	var fenced *replicator.FencedError
	eventually(t, "the younger refuses writes", func() bool {
		_, err := bucket(t, younger).Put(t.Context(), []byte("k"), nil)
		return errors.As(err, &fenced)
	})
	put(t, bucket(t, older), "k", "the older writes on")
}

func TestBucketsHeardOfAreJoined(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), replicator.Config{Node: "a"})
	all := open(t, s.ClientURL(), replicator.Config{Node: "all"})
	some := open(t, s.ClientURL(), replicator.Config{Node: "some", Buckets: []string{"default"}})
	orders, err := a.CreateBucket("orders")
	if err != nil {
		t.Fatal(err)
	}
	put(t, orders, "k", "v")
	eventually(t, "a node that holds all joins", func() bool {
		b, err := all.Bucket("orders")
		return err == nil && has(b, "k", "v")()
	})
	if _, err := some.Bucket("orders"); !errors.Is(err, replicator.ErrNoBucket) {
		t.Errorf("a node of other buckets joined: %v", err)
	}
}

func TestServerRestartUnderLoadLosesNothing(t *testing.T) {
	s := startServer(t)
	port := s.Addr().(interface{ String() string }).String()
	a := open(t, "nats://"+port, replicator.Config{Node: "a"})
	b := open(t, "nats://"+port, replicator.Config{Node: "b"})
	for i := range 100 {
		put(t, bucket(t, a), fmt.Sprintf("k%03d", i), "before")
	}
	s.Shutdown()
	s.WaitForShutdown()
	for i := range 100 {
		put(t, bucket(t, a), fmt.Sprintf("k%03d", i), "alone")
	}
	restartServer(t, port)
	for i := range 100 {
		key := fmt.Sprintf("k%03d", i)
		eventually(t, key+" arrives", has(bucket(t, b), key, "alone"))
	}
}

func restartServer(tb testing.TB, addr string) {
	tb.Helper()
	var port int
	if _, err := fmt.Sscanf(addr[strings.LastIndex(addr, ":"):], ":%d", &port); err != nil {
		tb.Fatal(err)
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true})
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		tb.Fatal("NATS server does not start again")
	}
	tb.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
}

// TestOpenOfADamagedStoreReturns: what is wrong with the store is an error also
// where the node has begun to start.
func TestOpenOfADamagedStoreReturns(t *testing.T) {
	dir := t.TempDir()
	kv, err := store.OpenPebble(dir, store.PebbleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := kv.NewBatch()
	b.Set([]byte("\x04b"), []byte("no member"))
	if err := errors.Join(kv.Commit(b), kv.Sync(), kv.Close()); err != nil {
		t.Fatal(err)
	}
	nc := connect(t, startServer(t).ClientURL(), "a")
	done := make(chan error, 1)
	go func() {
		_, err := replicator.Open(t.Context(), replicator.Config{Node: "a", Dir: dir, Conn: nc})
		done <- err
	}()
	select {
	case err := <-done:
		if _, damaged := errors.AsType[*store.CorruptError](err); !damaged {
			t.Errorf("opened with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Open does not return")
	}
}

// TestNodeThatStartsDeniesNoBucket: a peer would not count it as a holder any
// more, and collect tombstones without it.
func TestNodeThatStartsDeniesNoBucket(t *testing.T) {
	url := startServer(t).ClientURL()
	dir := t.TempDir()
	n := open(t, url, replicator.Config{Node: "a", Dir: dir})
	last := ""
	for i := range 200 {
		last = fmt.Sprintf("b%03d", i)
		if _, err := n.CreateBucket(last); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	nc := connect(t, url, "x")
	replies, err := nc.SubscribeSync("replicator.reply.x.5")
	if err != nil {
		t.Fatal(err)
	}
	body, err := oplog.Encode(oplog.JSON, &oplog.Hello{
		From: oplog.Instance{Node: "x", Nonce: oplog.Nonce{7}}, Session: 5, Digests: []oplog.Digest{{Bucket: last, Clock: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-stopped }()
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = nc.PublishRequest("replicator._fleet.sync.a.x", "replicator.reply.x.5", body)
			_ = nc.Flush()
		}
	}()
	open(t, url, replicator.Config{Node: "a", Dir: dir})
	eventually(t, "an answer", func() bool {
		m, err := replies.NextMsg(time.Second)
		if err != nil || len(m.Data) == 0 { // nobody listens yet
			return false
		}
		answer, err := oplog.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		reply, ok := answer.(*oplog.HelloReply)
		if ok && len(reply.Unknown) > 0 {
			t.Errorf("denies %v", reply.Unknown)
		}
		return ok
	})
}
