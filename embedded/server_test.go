package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"replicator/embedded"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStartServesClientsInProcessAndOnLoopback(t *testing.T) {
	s := start(t, embedded.Options{Name: "n1", Listen: "127.0.0.1:0"})

	if !strings.HasPrefix(s.ClientURL(), "nats://127.0.0.1:") || strings.HasSuffix(s.ClientURL(), ":0") {
		t.Errorf("ClientURL() = %q, want the port that was taken", s.ClientURL())
	}
	inside, outside := connect(t, s), dial(t, s.ClientURL())
	if got := outside.ConnectedServerName(); got != "n1" || s.Name() != "n1" {
		t.Errorf("server name = %q, Name() = %q, want n1", got, s.Name())
	}
	awaitPassing(t, outside, inside)
	awaitPassing(t, inside, outside)
	if outside.ConnectedServerVersion() == "" || s.NumLeafs() != 0 {
		t.Errorf("NumLeafs() = %d, want 0", s.NumLeafs())
	}
	if _, err := outside.Request("$JS.API.INFO", nil, patience); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("JetStream answers %v, want it off", err)
	}
}

func TestWildcardListenHasClientURLOnThisHost(t *testing.T) {
	s := start(t, embedded.Options{Listen: "0.0.0.0:-1"})
	if !strings.HasPrefix(s.ClientURL(), "nats://127.0.0.1:") {
		t.Errorf("ClientURL() = %q, want a loopback address", s.ClientURL())
	}
}

func TestNativeConfigFile(t *testing.T) {
	file := write(t, `
		listen: "127.0.0.1:-1"
		max_payload: 65536
		authorization { user: ann, password: secret }
	`)
	s := start(t, embedded.Options{Name: "n1", ConfigFile: file})

	if nc, err := s.Connect(nats.RetryOnFailedConnect(false)); !errors.Is(err, nats.ErrAuthorization) {
		nc.Close()
		t.Errorf("Connect without user = %v, want %v", err, nats.ErrAuthorization)
	}
	nc := connect(t, s, nats.UserInfo("ann", "secret"))
	if nc.MaxPayload() != 65536 {
		t.Errorf("max payload = %d, want the file's 65536", nc.MaxPayload())
	}
	if nc.ConnectedServerName() != "n1" {
		t.Errorf("server name = %q, want the node's", nc.ConnectedServerName())
	}
}

func TestOptionsBeatConfigFile(t *testing.T) {
	file := write(t, "listen: 127.0.0.1:1\nmax_payload: 65536\n")
	s := start(t, embedded.Options{ConfigFile: file, Listen: "127.0.0.1:0", MaxPayload: 4096})
	if got := connect(t, s).MaxPayload(); got != 4096 {
		t.Errorf("max payload = %d, want 4096", got)
	}
}

func TestServerNameOfFile(t *testing.T) {
	file := write(t, "listen: 127.0.0.1:-1\nserver_name: hub1\n")

	if _, err := embedded.Start(t.Context(), embedded.Options{Name: "n1", ConfigFile: file}); !errors.Is(err, embedded.ErrServerName) {
		t.Errorf("Start with another name = %v, want %v", err, embedded.ErrServerName)
	}
	if s := start(t, embedded.Options{ConfigFile: file}); s.Name() != "hub1" {
		t.Errorf("Name() = %q, want the file's hub1", s.Name())
	}
	if name, err := embedded.ConfiguredName(file); name != "hub1" || err != nil {
		t.Errorf("ConfiguredName = %q, %v, want hub1", name, err)
	}
}

func TestRefusedOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		options embedded.Options
		want    string
	}{
		"no port":        {embedded.Options{Listen: "localhost"}, "listen address"},
		"port too large": {embedded.Options{Listen: "127.0.0.1:70000"}, "listen address"},
		"missing file":   {embedded.Options{ConfigFile: "none.conf"}, "none.conf"},
		"client scheme":  {embedded.Options{Join: []string{"nats://hub:4222"}}, "want nats-leaf://host:7422"},
		"no host":        {embedded.Options{Join: []string{"nats-leaf://:7422"}}, "want nats-leaf://host:7422"},
		"not a URL":      {embedded.Options{Join: []string{"nats-leaf://u:p%@hub"}}, "not a URL"},
		"mixed schemes":  {embedded.Options{Listen: "127.0.0.1:0", Join: []string{"nats-leaf://hub", "ws://hub"}}, "mix of websocket"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := embedded.Start(t.Context(), tc.options)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Start = %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestBusyPortIsOneClearLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	addr := taken.Addr().String()

	for name, tc := range map[string]struct {
		options embedded.Options
		want    string
	}{
		"clients":    {embedded.Options{Listen: addr}, "listen for clients on " + addr + ": bind: address already in use"},
		"leaf nodes": {embedded.Options{ConfigFile: write(t, "listen: 127.0.0.1:-1\nleafnodes { listen: \""+addr+"\" }\n")}, "listen for leaf nodes on " + addr + ": bind: address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			var log logBuffer
			tc.options.Logger = log.logger()
			_, err := embedded.Start(t.Context(), tc.options)
			var listen *embedded.ListenError
			if !errors.As(err, &listen) || listen.Addr != addr || !errors.Is(err, syscall.EADDRINUSE) {
				t.Fatalf("Start = %v, want a ListenError for %s", err, addr)
			}
			if err.Error() != tc.want {
				t.Errorf("message %q, want %q", err, tc.want)
			}
			if log.String() != "" {
				t.Errorf("logged %q, want nothing beside the error", log.String())
			}
		})
	}
}

func TestFatalErrorOfServerEndsStart(t *testing.T) {
	file := write(t, "listen: 127.0.0.1:-1\npid_file: /nowhere/at/all.pid\n")
	_, err := embedded.Start(t.Context(), embedded.Options{ConfigFile: file})
	if err == nil || !strings.Contains(err.Error(), "pidfile") {
		t.Errorf("Start = %v, want the pid file's error", err)
	}
}

func TestLinesOfServerGoToLogger(t *testing.T) {
	var log logBuffer
	start(t, embedded.Options{Name: "n1", Listen: "127.0.0.1:0", Logger: log.logger()})
	for _, want := range []string{"level=INFO", "component=nats", "Server is ready", "Listening for client connections"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log has no %q:\n%s", want, log.String())
		}
	}
}

func TestReload(t *testing.T) {
	file := write(t, "listen: 127.0.0.1:-1\nmax_payload: 65536\n")
	var log logBuffer
	s := start(t, embedded.Options{
		Name: "n1", ConfigFile: file, Join: []string{"nats-leaf://127.0.0.1:1"}, Logger: log.logger(),
	})

	rewrite(t, file, "listen: 127.0.0.1:-1\nmax_payload: 131072\ndebug: true\n")
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := connect(t, s).MaxPayload(); got != 131072 {
		t.Errorf("max payload after reload = %d, want 131072", got)
	}
	if s.Name() != "n1" || !strings.Contains(log.String(), "Reloaded server configuration") {
		t.Errorf("name %q, log:\n%s", s.Name(), log.String())
	}

	rewrite(t, file, "max_payload: [\n")
	if err := s.Reload(); err == nil {
		t.Error("Reload of a broken file = nil")
	}
	connect(t, s)
}

func TestReloadWithoutConfigFile(t *testing.T) {
	s := start(t, embedded.Options{Listen: "127.0.0.1:0"})
	if err := s.Reload(); !errors.Is(err, embedded.ErrNoConfigFile) {
		t.Errorf("Reload = %v, want %v", err, embedded.ErrNoConfigFile)
	}
}

func TestLeafPassesMessagesAndFindsReturnedHub(t *testing.T) {
	hubAddr := freeAddr(t)
	hubConf := write(t, fmt.Sprintf(`
		listen: "127.0.0.1:-1"
		leafnodes { listen: "%s", authorization { user: site, password: pass } }
	`, hubAddr))

	leaf := start(t, embedded.Options{Name: "leaf", Listen: "127.0.0.1:0", Join: []string{"nats-leaf://site:pass@" + hubAddr}})
	atLeaf := connect(t, leaf)
	if leaf.NumLeafs() != 0 {
		t.Fatalf("NumLeafs() = %d before there is a hub", leaf.NumLeafs())
	}

	for range 2 { // the hub comes, goes, and comes back
		hub := start(t, embedded.Options{Name: "hub", ConfigFile: hubConf, LameDuck: -1})
		await(t, "link", func() bool { return leaf.NumLeafs() == 1 && hub.NumLeafs() == 1 })
		atHub := connect(t, hub)
		awaitPassing(t, atLeaf, atHub)
		awaitPassing(t, atHub, atLeaf)
		atHub.Close()
		if err := hub.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, "loss of link", func() bool { return leaf.NumLeafs() == 0 })
	}
}

func TestShutdownSendsClientsAway(t *testing.T) {
	s := start(t, embedded.Options{Listen: "127.0.0.1:0", LameDuck: 100 * time.Millisecond})
	told, gone := make(chan struct{}), make(chan struct{})
	nc, err := nats.Connect(s.ClientURL(), nats.NoReconnect(),
		nats.LameDuckModeHandler(func(*nats.Conn) { close(told) }),
		nats.ClosedHandler(func(*nats.Conn) { close(gone) }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()

	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	receive(t, told, "lame duck notice")
	receive(t, gone, "closed connection")
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("second Shutdown = %v", err)
	}
	if _, err := s.Connect(); err == nil {
		t.Error("Connect after Shutdown = nil")
	}
}

func TestShutdownIsBoundedByContext(t *testing.T) {
	s := start(t, embedded.Options{Listen: "127.0.0.1:0", LameDuck: time.Hour})
	dial(t, s.ClientURL())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown = %v, want %v", err, context.Canceled)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(s.ClientURL(), "nats://")); err == nil {
		t.Error("still listening after Shutdown")
	}
}

func TestStartEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := embedded.Start(ctx, embedded.Options{Listen: "127.0.0.1:0"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Start = %v, want %v", err, context.Canceled)
	}
}

func start(tb testing.TB, o embedded.Options) *embedded.Server {
	tb.Helper()
	s, err := embedded.Start(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // no goodbye
		_ = s.Shutdown(ctx)
	})
	return s
}

func connect(tb testing.TB, s *embedded.Server, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := s.Connect(append(opts, nats.NoReconnect())...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

func dial(tb testing.TB, url string) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url, nats.NoReconnect())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// awaitPassing asks until an answer comes: interest takes a moment to travel.
func awaitPassing(tb testing.TB, from, to *nats.Conn) {
	tb.Helper()
	subject := nats.NewInbox()
	sub, err := to.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond(m.Data) })
	if err != nil {
		tb.Fatal(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection may be gone by then
	if err := to.Flush(); err != nil {
		tb.Fatal(err)
	}
	await(tb, "answer", func() bool {
		reply, err := from.Request(subject, []byte("hello"), time.Second)
		return err == nil && string(reply.Data) == "hello"
	})
}

func await(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-look.C:
		case <-late:
			tb.Fatalf("no %s within %s", what, patience)
		}
	}
}

func receive(tb testing.TB, c <-chan struct{}, what string) {
	tb.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		tb.Errorf("no %s within %s", what, patience)
	}
}

func write(tb testing.TB, text string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "nats.conf")
	rewrite(tb, file, text)
	return file
}

func rewrite(tb testing.TB, file, text string) {
	tb.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // its port is free either way
	return l.Addr().String()
}

// A logBuffer collects log lines from several goroutines.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
