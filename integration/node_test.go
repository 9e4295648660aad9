package integration_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"replicator/api"
)

// A node is a master that runs as a process of its own, with its own disk.
type node struct {
	tb   testing.TB
	name string
	dir  string
	url  string   // where its clients connect
	args []string // of serve, besides name and data
	env  []string
	host string   // a network namespace; empty: that of the test
	log  *logbook // of all its lives
	proc *process
}

// newNode describes a node that was not started yet.
func newNode(tb testing.TB, name, url string, args ...string) *node {
	tb.Helper()
	n := &node{tb: tb, name: name, dir: filepath.Join(tb.TempDir(), name), url: url, args: args, log: &logbook{}}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("--- log of %s\n%s", n.name, n.log.tail(60))
		}
		noTrace(tb, n.log.String())
	})
	return n
}

// embeddedNode starts a node that brings its own NATS server.
func embeddedNode(tb testing.TB, name string, args ...string) *node {
	tb.Helper()
	address := freeAddress(tb)
	n := newNode(tb, name, "nats://"+address, append([]string{"--listen", address}, args...)...)
	return n.start()
}

// connectedNode starts a node on the NATS server at url.
func connectedNode(tb testing.TB, name, url string) *node {
	tb.Helper()
	return newNode(tb, name, url, "--server", url).start()
}

// launch starts the process and does not wait for it to be ready.
func (n *node) launch() *node {
	n.tb.Helper()
	args := append([]string{"serve", "--node", n.name, "--data", n.dir}, n.args...)
	cmd := exec.Command(program(n.tb), args...)
	cmd.Dir, cmd.Env = scratch, cleanEnv(n.env...)
	cmd = onHost(n.host, cmd)
	cmd.Stdout, cmd.Stderr = n.log, n.log
	n.proc = spawn(n.tb, cmd)
	return n
}

// start starts the process and waits until it is ready.
func (n *node) start() *node {
	n.tb.Helper()
	n.launch().awaitReady()
	return n
}

func (n *node) awaitReady() {
	n.tb.Helper()
	await(n.tb, patience, n.name+" is ready", func() error {
		if !n.proc.running() {
			n.tb.Fatalf("%s ended with code %d", n.name, n.proc.code)
		}
		s, err := n.tryStatus()
		if err == nil && !s.Ready {
			err = errors.New("not ready")
		}
		return err
	})
}

// stop ends the node as an operator does, and waits.
func (n *node) stop() {
	n.tb.Helper()
	n.proc.signal(n.tb, syscall.SIGTERM)
	if code := n.proc.wait(n.tb, 20*time.Second); code != exitDone {
		n.tb.Fatalf("%s stopped with code %d", n.name, code)
	}
}

// crash is kill -9.
func (n *node) crash() {
	n.tb.Helper()
	n.proc.kill(n.tb)
}

// freeze stops the process where it stands, until thaw.
func (n *node) freeze() { n.tb.Helper(); n.proc.signal(n.tb, syscall.SIGSTOP) }

func (n *node) thaw() { n.tb.Helper(); n.proc.signal(n.tb, syscall.SIGCONT) }

func (n *node) restart() {
	n.tb.Helper()
	n.stop()
	n.start()
}

// target are the flags that speak to this very node.
func (n *node) target() []string { return []string{"--server", n.url, "--node", n.name} }

// cli runs a client command on this node.
func (n *node) cli(args ...string) result {
	n.tb.Helper()
	return n.run(append(args, n.target()...)...)
}

// run is a client command on the node's host.
func (n *node) run(args ...string) result {
	n.tb.Helper()
	return finish(n.tb, onHost(n.host, commandOf(n.tb, args...)))
}

// cliIn also gives it something to read.
func (n *node) cliIn(stdin io.Reader, args ...string) result {
	n.tb.Helper()
	return replicatorIn(n.tb, stdin, append(args, n.target()...)...)
}

// load imports records into a bucket, all of which have to be taken.
func (n *node) load(records []byte) {
	n.tb.Helper()
	n.cliIn(bytes.NewReader(records), "import", "-").ok(n.tb)
}

func (n *node) put(key, value string) {
	n.tb.Helper()
	n.cli("put", key, value).ok(n.tb)
}

// want fails the test unless the node has value at key.
func (n *node) want(key, value string) {
	n.tb.Helper()
	if got := string(n.cli("get", key).ok(n.tb).stdout); got != value {
		n.tb.Errorf("%s has %q at %s, want %q", n.name, clip(got), key, clip(value))
	}
}

// wantNone fails the test unless the node has nothing at key.
func (n *node) wantNone(key string) {
	n.tb.Helper()
	if r := n.cli("get", key); r.code != exitNotFound {
		n.tb.Errorf("%s has something at %s: %v", n.name, key, r)
	}
}

func (n *node) tryStatus() (api.Status, error) {
	n.tb.Helper()
	r := n.cli("status", "--json")
	var s api.Status
	if r.code != exitDone {
		return s, errors.New(r.String())
	}
	if err := json.Unmarshal(r.stdout, &s); err != nil {
		return s, fmt.Errorf("%v: %w", r, err)
	}
	if s.Node != n.name {
		return s, fmt.Errorf("%s answered for %s", s.Node, n.name)
	}
	return s, nil
}

func (n *node) status() api.Status {
	n.tb.Helper()
	s, err := n.tryStatus()
	must(n.tb, err)
	return s
}

// bucket is how the default bucket stands.
func (n *node) bucket() api.BucketStatus {
	n.tb.Helper()
	for _, b := range n.status().Buckets {
		if b.Name == "default" {
			return b
		}
	}
	n.tb.Fatalf("%s has no default bucket", n.name)
	return api.BucketStatus{}
}

func (n *node) awaitKeys(limit time.Duration, keys uint64) {
	n.tb.Helper()
	await(n.tb, limit, fmt.Sprintf("%s has %d keys", n.name, keys), func() error {
		if b := n.bucket(); b.Keys < keys {
			return fmt.Errorf("it has %d", b.Keys)
		}
		return nil
	})
}

// peak is the most memory the process ever had, in bytes.
func (n *node) peak() int64 {
	n.tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.proc.pid()))
	if errors.Is(err, os.ErrNotExist) {
		n.tb.Skip("no /proc here to read the peak memory of a process from")
	}
	must(n.tb, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	must(n.tb, err)
	return kib << 10
}

// freeAddress is a loopback address that nobody listened on a moment ago.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	must(tb, err)
	defer l.Close() //nolint:errcheck // nothing was accepted
	return l.Addr().String()
}
