package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"replicator/api"
	"replicator/oplog"
)

// A client speaks the data API to one node, as any NATS program can.
type client struct {
	nc   *nats.Conn
	node string
}

// client connects to the server that this node's clients use.
func (n *node) client() *client {
	n.tb.Helper()
	return &client{nc: dial(n.tb, n.url), node: n.name}
}

func (c *client) ask(ctx context.Context, verb string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	reply, err := c.nc.RequestWithContext(ctx, "replicator.default.api."+c.node+"."+verb, body)
	if err != nil {
		return nil, err
	}
	if text := reply.Header.Get(micro.ErrorHeader); text != "" {
		return nil, errors.New(text)
	}
	return reply.Data, nil
}

func (c *client) put(ctx context.Context, key, value string) (oplog.Stamp, error) {
	record := api.Record{Key: []byte(key), Value: []byte(value)}
	reply, err := c.ask(ctx, "put", record.AppendJSON(nil))
	if err != nil {
		return oplog.Stamp{}, err
	}
	var put api.PutResult
	if err := json.Unmarshal(reply, &put); err != nil {
		return oplog.Stamp{}, fmt.Errorf("reply %q: %w", reply, err)
	}
	origin, err := oplog.ParseOrigin(put.Origin)
	return oplog.Stamp{HLC: put.HLC, Origin: origin, Seq: put.Seq}, err
}

func (c *client) get(ctx context.Context, key string) (string, error) {
	reply, err := c.ask(ctx, "get", []byte(key))
	return string(reply), err
}

// A ledger is a client's own proof of what was acknowledged to it, on disk
// before the client goes on.
type ledger struct {
	mu   sync.Mutex // guards file
	file *os.File
	rows atomic.Int64
}

func newLedger(tb testing.TB) *ledger {
	tb.Helper()
	file, err := os.Create(filepath.Join(tb.TempDir(), "ledger"))
	must(tb, err)
	tb.Cleanup(func() { _ = file.Close() })
	return &ledger{file: file}
}

type ledgerRow struct {
	Key   string
	Stamp oplog.Stamp
}

func (l *ledger) note(key string, stamp oplog.Stamp) error {
	line, err := json.Marshal(ledgerRow{key, stamp})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return err
	}
	l.rows.Add(1)
	return l.file.Sync()
}

// check fails the test unless each node holds every acknowledged write, or one
// that beat it.
func (l *ledger) check(tb testing.TB, nodes ...*node) {
	tb.Helper()
	written, err := os.ReadFile(l.file.Name())
	must(tb, err)
	latest := map[string]oplog.Stamp{}
	for line := range bytes.Lines(written) {
		var row ledgerRow
		must(tb, json.Unmarshal(line, &row))
		if latest[row.Key].Less(row.Stamp) {
			latest[row.Key] = row.Stamp
		}
	}
	if len(latest) == 0 {
		tb.Error("nothing was acknowledged, so nothing is proved")
	}
	for _, n := range nodes {
		held := n.stamps()
		for key, stamp := range latest {
			if held[key].Less(stamp) {
				tb.Errorf("%s lost %s: acknowledged %v, has %v", n.name, key, stamp, held[key])
			}
		}
	}
}

// stamps are those of all rows of a node's default bucket.
func (n *node) stamps() map[string]oplog.Stamp {
	n.tb.Helper()
	stamps := map[string]oplog.Stamp{}
	for key, r := range n.records() {
		stamps[key] = r.Stamp
	}
	return stamps
}

// records is all that a node has in its default bucket, with stamps.
func (n *node) records() map[string]api.Record {
	n.tb.Helper()
	records := map[string]api.Record{}
	for line := range bytes.Lines(n.cli("export", "--full").ok(n.tb).stdout) {
		r, err := api.ParseRecord(line)
		must(n.tb, err)
		records[string(r.Key)] = r
	}
	return records
}

// A writer puts values until it is told to end, and notes what was
// acknowledged. Failed puts are what it is there for: it tries again.
type writer struct {
	acked  atomic.Int64
	failed atomic.Int64
	end    context.CancelFunc
	wg     sync.WaitGroup
}

// startWriter overwrites keys of node n, some of them those of other writers.
func startWriter(tb testing.TB, n *node, l *ledger, keys int) *writer {
	tb.Helper()
	return startWriterAs(tb, n.client(), l, keys)
}

func startWriterAs(tb testing.TB, c *client, l *ledger, keys int) *writer {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	w := &writer{end: cancel}
	w.wg.Go(func() { w.run(ctx, tb, c, l, keys) })
	tb.Cleanup(w.stop)
	return w
}

func (w *writer) stop() {
	w.end()
	w.wg.Wait()
}

func (w *writer) run(ctx context.Context, tb testing.TB, c *client, l *ledger, keys int) {
	tb.Helper()
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		key := fmt.Sprintf("shared/%04d", i%keys)
		if i%2 == 0 {
			key = fmt.Sprintf("of-%s/%04d", c.node, i%keys)
		}
		stamp, err := c.put(ctx, key, fmt.Sprintf("%s wrote this as its number %d", c.node, i))
		if err != nil {
			w.failed.Add(1)
			continue
		}
		w.acked.Add(1)
		if err := l.note(key, stamp); err != nil {
			tb.Errorf("ledger: %v", err)
			return
		}
	}
}
