package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("/dev/shm", "replicator-test-") // for the tickets of clean stops
	if err == nil {
		err = os.Setenv("XDG_RUNTIME_DIR", dir)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err == nil {
			_ = os.RemoveAll(dir)
		}
		os.Exit(code)
	}))
}

// A buffer may be read while somebody writes.
type buffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// alone shuts out what the host says about NATS.
func alone(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "NATS_") || strings.HasPrefix(name, "REPLICATOR_") {
			t.Setenv(name, "") // so that it comes back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
}

type outcome struct {
	out, err string
	code     int
}

func replicatorIn(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var out, complaint buffer
	code := run(t.Context(), args, stdio{strings.NewReader(stdin), &out, &complaint})
	return outcome{out.String(), complaint.String(), code}
}

func TestUsageErrorsAreOneLine(t *testing.T) {
	alone(t)
	for _, tt := range []struct {
		args string
		want string
	}{
		{"frobnicate", `unexpected argument frobnicate; see replicator --help`},
		{"put key", `expected "<value>"; see replicator put --help`},
		{"get --frob key", `unknown flag --frob; see replicator get --help`},
		{"sync", "nodes sync by themselves; sync --once does it now and says when it is done"},
		{"wait", "say what to wait for: --in-sync, --ready or --nodes N"},
		{"serve --node any", `node name "any" is reserved`},
		{"serve --node a.b", `bad node name "a.b": want 1 to 64 of A-Z a-z 0-9 _ -`},
		{"verify --node a.b", `bad node name "a.b": want 1 to 64 of A-Z a-z 0-9 _ -`},
		{"serve --bucket _x", `bucket name "_x" is reserved`},
		{"get k -b apireply", `bucket name "apireply" is reserved`},
		{"get --key-b64 %%%", `"%%%" is not base64, as --key-b64 wants it`},
		{"adopt dir --strip", "--strip wants --under"},
		{"adopt dir --key-b64 --into %%%", `"%%%" is not base64, as --key-b64 wants it`},
		{"forget c", "The fleet forgets node c: writes that only its disk has are not waited for: to be confirmed with --yes"},
		{"leave any --yes", `node name "any" is reserved`},
		{"collect --older-than=-1h --yes", "--older-than -1h0m0s is negative"},
		{"reconcile --accept --yes", "--accept wants --bucket"},
		{"serve --server nats://h --listen :1", "--listen is for the embedded NATS server, which is not started because --server, --context, NATS_URL or NATS_CONTEXT is set"},
		{"serve --listen 4222", `--listen "4222": want HOST:PORT, as 127.0.0.1:4222`},
		{"serve --http 8080", `--http "8080": want HOST:PORT, as 127.0.0.1:8080`},
		{"serve --http-token t", "--http-token, --http-cert and --http-key want --http"},
		{"serve --http 127.0.0.1:0 --http-cert c", "--http-cert and --http-key go together"},
		{"serve --http :0", "--http :0: a listener beyond loopback wants a token and TLS: --http-token, --http-cert and --http-key"},
		{"serve --http 0.0.0.0:0 --http-token t", "--http 0.0.0.0:0: a listener beyond loopback wants a token and TLS: --http-token, --http-cert and --http-key"},
		{"put k v --ttl 0s", "--ttl 0s: want a time above 0"},
		{"put k v --expires 2020-01-01", "--expires 2020-01-01T00:00:00Z: is past; replicator del deletes"},
		{"put k v --expires tomorrow", `--expires: "tomorrow" is no moment: want one as 2030-01-31T12:00:00Z or 2030-01-31; see replicator put --help`},
		{"serve --evict-after=-3h", "--evict-after -3h0m0s: want a time above 0"},
		{"wait --nodes=-1", "--nodes -1: want 1 or more"},
		{"get k --timeout=-5s", "--timeout -5s: want a time above 0"},
		{"get k --prefix a*", `bad prefix name "a*": want tokens joined by dots, no wildcard or space, not beginning with $ or _INBOX, at most 128 bytes`},
		{"get k --bucket", "--bucket: expected string value after it; see replicator get --help"},
		{"serve --codec xml", `--codec must be one of "msgpack","json" but got "xml"; see replicator serve --help`},
	} {
		got := replicatorIn(t, "", strings.Fields(tt.args)...)
		if got.code != exitUsage || got.err != "replicator: "+tt.want+"\n" {
			t.Errorf("%s: exit %d, %s", tt.args, got.code, got.err)
		}
	}
	if got := replicatorIn(t, "", "get", ""); got.code != exitUsage || got.err != "replicator: the key is empty\n" {
		t.Errorf("empty key: %+v", got)
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	var c cli
	parser, err := newParser(&c, nil, stdio{nil, io.Discard, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	var leaves []*kong.Node
	for _, child := range parser.Model.Children {
		if child.Type == kong.CommandNode {
			leaves = append(leaves, child)
		}
	}
	if len(leaves) != 30 {
		t.Errorf("%d commands", len(leaves))
	}
	for _, leaf := range leaves {
		got := replicatorIn(t, "", leaf.Name, "--help")
		if got.code != exitDone || !strings.Contains(got.out, "Example") || !strings.Contains(got.out, "replicator "+leaf.Name) {
			t.Errorf("%s --help: exit %d\n%s%s", leaf.Name, got.code, got.out, got.err)
		}
	}
}

func TestHabitsAreUnderstood(t *testing.T) {
	alone(t)
	for args, want := range map[string]string{
		"help":           "Usage: replicator <command>",
		"help put":       "Usage: replicator put <key> <value>",
		"help conflicts": "Usage: replicator conflicts <command>",
		"--version":      "replicator ",
	} {
		if got := replicatorIn(t, "", strings.Fields(args)...); got.code != exitDone || !strings.HasPrefix(got.out, want) {
			t.Errorf("%s: %+v", args, got)
		}
	}
	if got := replicatorIn(t, "", "put", "help"); got.code != exitUsage {
		t.Errorf("help as a key: %+v", got)
	}
}

func TestRenameWantsAStoreAndLeavesOtherFoldersAlone(t *testing.T) {
	alone(t)
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		got := replicatorIn(t, "", "rename", "b", "--data", dir)
		if got.code != exitFailed || got.err != "replicator: no store in this folder: "+dir+"; say where it is with --data\n" {
			t.Errorf("%+v", got)
		}
		if files, _ := os.ReadDir(dir); len(files) > 0 {
			t.Errorf("left %v", files)
		}
	}
}

func TestUnreachableServerNamesTheRemedy(t *testing.T) {
	alone(t)
	address := freeAddress(t)
	got := replicatorIn(t, "", "get", "k", "--server", "nats://user:secret@"+address)
	if got.code != exitFailed || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, address) ||
		!strings.Contains(got.err, "replicator serve") || strings.Contains(got.err, "secret") {
		t.Errorf("exit %d: %s", got.code, got.err)
	}
}

func TestInterruptedImportSaysHowFarItCame(t *testing.T) {
	var out buffer
	err := new(importCmd).stopped(tally{Written: 7}, errSignal)
	if code := report(&out, err, &globals{}); code != exitFailed || out.String() != "replicator: interrupted; 7 lines were imported, importing the file again does the rest\n" {
		t.Errorf("exit %d, %s", code, out.String())
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // to be taken by another
	return l.Addr().String()
}

func TestNodeAndEveryCommand(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	address := freeAddress(t)
	t.Setenv("NATS_URL", "")
	if err := os.Unsetenv("NATS_URL"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	var log buffer
	ended := make(chan int, 1)
	serve := []string{"serve", "--node", "a", "--data", filepath.Join(dir, "data"), "--listen", address}
	go func() { ended <- run(ctx, serve, stdio{nil, &log, &log}) }()
	defer func() {
		cancel(errSignal)
		if code := <-ended; code != exitDone || !strings.Contains(log.String(), "msg=stopped") {
			t.Errorf("serve: exit %d\n%s", code, log.String())
		}
	}()

	do := func(stdin string, args ...string) outcome {
		return replicatorIn(t, stdin, append(args, "--server", "nats://"+address)...)
	}
	for _, step := range []struct {
		in   string
		args string
		out  string // "..." ends what is compared
		code int
	}{
		{"", "wait --ready --timeout 30s", "ready\n", 0},
		{"", "put colour red", "a/...", 0},
		{"", "get colour", "red", 0},
		{"\x00\xff", "put --key-b64 AP8= -", "a/...", 0},
		{"", "get --key-b64 AP8=", "\x00\xff", 0},
		{"", "get colour --json", `{"key":"colour","value":"red","origin":"a/...`, 0},
		{"", "ls", "\"\\x00\\xff\"\ncolour\n", 0},
		{"", "ls col --json", "{\"key\":\"colour\"}\n", 0},
		{"", "export", "{\"key_b64\":\"AP8=\",\"value_b64\":\"AP8=\"}\n{\"key\":\"colour\",\"value\":\"red\"}\n", 0},
		{"", "export col --full", `{"key":"colour","value":"red","origin":"a/...`, 0},
		{"{\"key\":\"colour\",\"value\":\"red\"}\n", "import -", "nothing to write: 1 keys unchanged\n", 0},
		{"{\"key\":\"x\",\"value\":\"1\"}\n\nbad\n", "import - --skip-bad", "1 key written, 0 unchanged, 1 bad lines skipped, in ...", 0},
		{"bad\n", "import -", "", 1},
		{"{\"key\":\"x\",\"value\":\"2\"}\n{\"key\":\"y\",\"value\":\"2\"}\n", "batch -", "a/...", 0},
		{"{\"key\":\"x\",\"deleted\":true}\n{\"key\":\"y\"}\n", "batch -", "", 1},
		{"{\"key\":\"nope\",\"deleted\":true}\n", "batch -", "nothing to write\n", 0},
		{"", "put held v --wait all", "a/...", 0},
		{"", "put held v --wait 1", "a/...", 0},
		{"", "put held v --wait 50%", "a/...", 0},
		{"", "put held v --wait a", "a/...", 0},
		{"", "put held v --wait 2", "", 1},
		{"", "put held v --wait nobody --timeout 300ms", "a/...", 4},
		{"", "put held v --wait 0", "", 2},
		{"", "put held v --wait 101%", "", 2},
		{"", "put held v --wait a,b/c", "", 2},
		{"", "get colour --after a/0000000000000001:1 --timeout 300ms", "", 4},
		{"", "get colour --after nonsense", "", 2},
		{"", "ls --after a/0000000000000001:1 --timeout 300ms", "", 4},
		{"", "reached a/0000000000000001:1 --timeout 300ms", "a: behind by 1 writes\n", 4},
		{"", "reached nonsense", "", 2},
		{"", "del held --wait all", "a/...", 0},
		{"", "create colour blue", "", 6},
		{"", "create fresh 1", "a/...", 0},
		{"", "update fresh 2 --if-local a/0000000000000001:1", "", 6},
		{"", "update fresh 2 --if-local nonsense", "", 2},
		{"", "del fresh --if-local a/0000000000000001:1", "", 6},
		{"", "del fresh", "a/...", 0},
		{"", "put tmp/1 v --ttl 1h", "a/...", 0},
		{"", "put tmp/2 v --ttl -1s", "", 2},
		{"", "put tmp/2 v --ttl 1s --expires 2030-01-01T00:00:00Z", "", 2},
		{"", "get colour none tmp/1", `{"key":"colour","value":"red",...`, 3},
		{"", "ls --start c --end e --reverse", "colour\n", 0},
		{"", "ls -n 1 --reverse", "y\n", 0},
		{"", "ls --values", "", 2},
		{"", "ls tmp/ --values --json", `{"key":"tmp/1","value":"v","origin":"a/...`, 0},
		{"", "del --under tmp/", "1 key deleted\n", 0},
		{"", "del --under=", "", 2},
		{"", "del --under tmp/ --json", "{\"deleted\":0,\"v\":1}\n", 0},
		{"", "del", "", 2},
		{"", "del x --under tmp/", "", 2},
		{"", "del colour", "a/...", 0},
		{"", "del colour", "", 3},
		{"", "get colour", "", 3},
		{"", "put k v -b orders", "", 1},
		{"", "put k v -b orders --create", "a/...", 0},
		{"", "conflicts", "no write of bucket default lost to one it had not seen\n", 0},
		{"", "conflicts --json", "", 0},
		{"", "conflicts -b nope", "", 1},
		{"", "conflicts --node nobody", "", 1},
		{"", "verify", "a: equal, no other node answers\nbucket default: equal\n...", 0},
		{"", "verify -b orders --json", `{"state":"equal","nodes":["a"],...`, 0},
		{"", "verify -b nope", "", 1},
		{"", "status", "node a ...", 0},
		{"", "status --json", `{"node":"a",...`, 0},
		{"", "sync --once", "in sync\n", 0},
		{"", "sync --once --json", "{\"in_sync\":true}\n", 0},
		{"", "wait --in-sync", "in sync\n", 0},
		{"", "wait --in-sync -b nope --timeout 300ms", "", 4},
		{"", "get k --node nobody", "", 1},
		{"", "members", "NODE  ROLE    STATE  HEARD      BUCKETS         HOLDS UP\na     master  live   this node  default,orders  -\n", 0},
		{"", "members --json", `{"members":[{"node":"a","role":"master","state":"live",...`, 0},
		{"", "forget a --yes", "", 1},
		{"", "forget nobody --yes", "", 1},
		{"", "readmit a", "", 1},
		{"", "collect --older-than 1h --yes", "node a, bucket default: 0 rows\nnode a, bucket orders: 0 rows\n", 0},
		{"", "collect --older-than 1h --yes -b orders --json", `{"v":1,"node":"a","buckets":[{"bucket":"orders","rows":0}]}` + "\n", 0},
		{"", "reconcile", "no reconcile waits\n", 0},
		{"", "reconcile --json", `{"waiting":[]}` + "\n", 0},
		{"", "reconcile --accept -b orders --yes", "", 1},
		{"", "leave a --yes --timeout 1s", "", 1},
		{"", "leave nobody --yes", "", 1},
		{"", "put still here", "a/...", 0},
		{"", "version", "replicator ...", 0},
	} {
		got := do(step.in, strings.Fields(step.args)...)
		want, more := strings.CutSuffix(step.out, "...")
		if got.code != step.code || !more && got.out != want || !strings.HasPrefix(got.out, want) {
			t.Errorf("%s: exit %d, printed %q, complained %q", step.args, got.code, got.out, got.err)
		}
		if n := strings.Count(got.err, "\n"); (step.code != 0) != (n == 1) && !strings.Contains(step.args, "skip-bad") {
			t.Errorf("%s: %d lines of complaint: %s", step.args, n, got.err)
		}
	}
	for args, want := range map[string]string{
		"wait --ready --node nobody --timeout 1s": `not within 1s: no node "nobody" answers`,
		"wait --nodes 2 --timeout 1s":             "not within 1s: nodes that answer: 1, not 2",
	} {
		if got := do("", strings.Fields(args)...); got.code != exitBehind || !strings.Contains(got.err, want) {
			t.Errorf("%s: exit %d, no %q in %s", args, got.code, want, got.err)
		}
	}
	for args, want := range map[string]string{
		"get k --node nobody":            "replicator serve --server nats://" + address + " --node nobody\n",
		"get k --prefix other":           "replicator serve --server nats://" + address + " --prefix other\n",
		"get k --server ws://" + address: "connect to ws://" + address + ": ",
	} {
		if got := replicatorIn(t, "", append([]string{"--server", "nats://" + address}, strings.Fields(args)...)...); got.code != exitFailed || !strings.Contains(got.err, want) {
			t.Errorf("%s: exit %d, no %q in %s", args, got.code, want, got.err)
		}
	}
	if got := do("", "export", "backup.ndjson"); got.code != exitDone || got.out != "" ||
		got.err != "replicator: no key begins with backup.ndjson; a file is written with: replicator export > FILE\n" {
		t.Errorf("export of no key: %+v", got)
	}
	refused := replicatorIn(t, "", "serve", "--data", filepath.Join(dir, "data"), "--listen", freeAddress(t))
	if refused.code != exitFailed || !strings.Contains(refused.err, "replicator serve --server nats://127.0.0.1:4222 --node b --data ./replicator-data-b\n") {
		t.Errorf("folder in use: %+v", refused)
	}
	refused = replicatorIn(t, "", "serve", "--data", filepath.Join(dir, "b"), "--listen", address)
	if refused.code != exitFailed || !strings.HasSuffix(refused.err, "replicator serve --server nats://"+address+" --node b --data ./replicator-data-b\n") {
		t.Errorf("busy port: %+v", refused)
	}
}
