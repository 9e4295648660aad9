package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"replicator"
	"replicator/httpapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is a real node that serves HTTP.
type site struct {
	node *replicator.Node
	url  string
}

func startNATS(tb testing.TB) string {
	tb.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		tb.Fatal("NATS server does not start")
	}
	tb.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s.ClientURL()
}

func openNode(tb testing.TB, url string, cfg replicator.Config) *replicator.Node {
	tb.Helper()
	nc, err := nats.Connect(url, replicator.ConnectOptions(cfg.Node, nil)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	cfg.Conn, cfg.Dir = nc, tb.TempDir()
	n, err := replicator.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = n.Close() })
	return n
}

func node(name string) replicator.Config { return replicator.Config{Node: name} }

// serve starts a node "a" and its HTTP.
func serve(tb testing.TB, o httpapi.Options) *site {
	tb.Helper()
	n := openNode(tb, startNATS(tb), node("a"))
	return &site{node: n, url: serveNode(tb, n, o)}
}

func serveNode(tb testing.TB, n *replicator.Node, o httpapi.Options) string {
	tb.Helper()
	l, err := httpapi.Listen(tb.Context(), "127.0.0.1:0", o)
	if err != nil {
		tb.Fatal(err)
	}
	s, ended := httpapi.New(n.API(), o), make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			tb.Errorf("close: %v", err)
		}
		if err := <-ended; err != nil {
			tb.Errorf("serve: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	scheme := "http://"
	if o.TLS != nil {
		scheme = "https://"
	}
	return scheme + l.Addr().String()
}

// An answer is a whole response.
type answer struct {
	code   int
	header http.Header
	body   string
}

// ask sends a request with headers as name, value, name, value.
func (s *site) ask(tb testing.TB, method, path, body string, headers ...string) answer {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// wants checks the status, and that of a problem its code.
func (a answer) wants(tb testing.TB, what string, status int, code string) {
	tb.Helper()
	if a.code != status {
		tb.Errorf("%s: status %d, want %d: %s", what, a.code, status, a.body)
		return
	}
	if code == "" {
		return
	}
	var p struct {
		Status       int
		Code, Detail string
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Code != code || p.Status != status || p.Detail == "" ||
		a.header.Get("Content-Type") != "application/problem+json" {
		tb.Errorf("%s: %v, want a problem %s: %s", what, err, code, a.body)
	}
}

const keys = "/v1/buckets/default/keys"

// A tail reads a stream line by line.
type tail struct {
	lines chan string
}

// follow opens a stream. It ends with the test.
func (s *site) follow(tb testing.TB, path string, headers ...string) *tail {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		tb.Fatalf("%s: status %d", path, res.StatusCode)
	}
	t := &tail{lines: make(chan string, 1000)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(t.lines)
		in := bufio.NewScanner(res.Body)
		for in.Scan() {
			t.lines <- in.Text()
		}
	}()
	tb.Cleanup(func() { cancel(); _ = res.Body.Close(); <-ended })
	return t
}

// next returns the next line that is not empty.
func (t *tail) next(tb testing.TB) string {
	tb.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-t.lines:
			if !ok {
				return "END"
			}
			if line != "" {
				return line
			}
		case <-late:
			tb.Fatal("the stream says nothing")
		}
	}
}
