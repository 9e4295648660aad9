package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"replicator"
	"replicator/api"
	"replicator/httpapi"
)

func TestPathsThatAreNotThere(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for _, path := range []string{"/", "/v1", "/v1/", "/v2/status", "/v1/status/", "/v1/buckets/", "/v1/buckets/default/nothing", "/v1/buckets/default/watch/x", "/v1/buckets/default/", "//v1/status", "/debug/pprof/", "/v1/../healthz"} {
		a := s.ask(t, "GET", path, "")
		if a.code != 404 && a.code != 400 && path != "/v1/buckets/default/" {
			t.Errorf("%s: status %d: %s", path, a.code, a.body)
		}
	}
	for _, path := range []string{"/v1/buckets/a.b/keys/k", "/v1/buckets/a%2Fb/keys/k", "/v1/buckets/%00/keys/k", "/v1/buckets/*/keys/k", "/v1/buckets/" + strings.Repeat("b", 65) + "/keys/k"} {
		s.ask(t, "PUT", path, "v").wants(t, clipped(path), 400, "bad_bucket")
	}
	s.ask(t, "PUT", "/v1/buckets/_fleet/keys/k", "v").wants(t, "a bucket of the fleet", 400, "bad_bucket")
	for path, allow := range map[string]string{
		"/v1/status": "GET", keys + "/k": "DELETE, GET, PUT", keys: "DELETE, GET", "/v1/buckets/default/batch": "POST", "/healthz": "GET",
	} {
		for _, method := range []string{"PATCH", "OPTIONS", "TRACE", "POSTER"} {
			a := s.ask(t, method, path, "")
			a.wants(t, method+" "+path, http.StatusMethodNotAllowed, "method")
			if a.header.Get("Allow") != allow {
				t.Errorf("%s allows %q", path, a.header.Get("Allow"))
			}
		}
	}
}

func TestPagesOfOthersReachNothing(t *testing.T) {
	s := serve(t, httpapi.Options{})
	own := strings.TrimPrefix(s.url, "http://")
	for _, c := range []struct {
		name, value string
		status      int
		code        string
	}{
		{"Host", "evil.example", http.StatusMisdirectedRequest, "host"},
		{"Host", "evil.example:80", http.StatusMisdirectedRequest, "host"},
		{"Host", "localhost.evil.example", http.StatusMisdirectedRequest, "host"},
		{"Host", "127.0.0.1.evil.example", http.StatusMisdirectedRequest, "host"},
		{"Origin", "https://evil.example", http.StatusForbidden, "origin"},
		{"Origin", "null", http.StatusForbidden, "origin"},
		{"Origin", "http://localhost:1", http.StatusForbidden, "origin"},
		{"Sec-Fetch-Site", "cross-site", http.StatusForbidden, "origin"},
		{"Sec-Fetch-Site", "same-site", http.StatusForbidden, "origin"},
		{"Host", "localhost", http.StatusOK, ""},
		{"Host", "LOCALHOST:8080", http.StatusOK, ""},
		{"Host", "[::1]:8080", http.StatusOK, ""},
		{"Origin", "http://" + own, http.StatusOK, ""},
		{"Sec-Fetch-Site", "same-origin", http.StatusOK, ""},
		{"Sec-Fetch-Site", "none", http.StatusOK, ""},
	} {
		s.ask(t, "PUT", keys+"/k", "v", c.name, c.value).wants(t, c.name+" "+c.value, c.status, c.code)
	}
	a := s.ask(t, "GET", "/v1/status", "")
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"} {
		if a.header.Get(name) != "" {
			t.Errorf("%s is sent", name)
		}
	}
}

func TestTokenAndTLS(t *testing.T) {
	borrowed := httptest.NewUnstartedServer(nil)
	borrowed.EnableHTTP2 = true
	borrowed.StartTLS()
	pair := borrowed.TLS.Certificates[0]
	trusting := borrowed.Client()
	borrowed.Close()
	defer trusting.CloseIdleConnections()
	s := serve(t, httpapi.Options{Token: "secret", TLS: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}})
	for header, status := range map[string]int{
		"": 401, "Bearer": 401, "Bearer wrong": 401, "Bearer secret2": 401, "Basic c2VjcmV0": 401, "bearer secret": 401, "Bearer secret": 200,
	} {
		for _, path := range []string{"/v1/status", "/metrics", keys} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", header)
			res, err := trusting.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != status || status == 401 && res.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%q %s: %d", header, path, res.StatusCode)
			}
		}
	}
	res, err := trusting.Get(s.url + "/healthz") //nolint:noctx // the test's context ends it in no other way
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 || res.ProtoMajor != 2 {
		t.Errorf("healthz: %d over HTTP/%d", res.StatusCode, res.ProtoMajor)
	}
}

func TestListenerBeyondLoopback(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0"} {
		for _, o := range []httpapi.Options{{}, {Token: "t"}, {TLS: &tls.Config{MinVersion: tls.VersionTLS12}}} {
			if l, err := httpapi.Listen(t.Context(), addr, o); !errors.Is(err, httpapi.ErrOpen) {
				t.Errorf("%s: %v", addr, err)
				if l != nil {
					_ = l.Close()
				}
			}
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	s := serve(t, httpapi.Options{})
	over := strings.Repeat("v", 16<<20+1)
	s.ask(t, "PUT", keys+"/k", over).wants(t, "a value over the limit", 413, "too_large")
	s.ask(t, "PUT", keys+"/k", over[1:]).wants(t, "a value at the limit", 200, "")
	if got := s.ask(t, "GET", keys+"/k", ""); len(got.body) != 16<<20 {
		t.Errorf("got %d bytes", len(got.body))
	}
	// One that does not tell its length is counted as it comes.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.url+keys+"/c", io.MultiReader(strings.NewReader(over)))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != 413 {
			t.Errorf("a chunked body: %d", res.StatusCode)
		}
	}
	s.ask(t, "GET", keys+"/c", "").wants(t, "nothing of it is there", 404, "not_found")

	tight := &site{url: serveNode(t, s.node, httpapi.Options{BodyBytes: 3 << 10})}
	stuck := tight.dial(t)
	if _, err := fmt.Fprintf(stuck, "PUT %s/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1024\r\n\r\nhalf", keys); err != nil {
		t.Fatal(err)
	}
	late := time.Now().Add(10 * time.Second)
	for tight.ask(t, "PUT", keys+"/other", "v").code != http.StatusTooManyRequests {
		if time.Now().After(late) {
			t.Fatal("a body that is on its way counts for nothing")
		}
	}
	_ = stuck.Close()
	for tight.ask(t, "PUT", keys+"/other", "v").code != http.StatusOK {
		if time.Now().After(late) {
			t.Fatal("a body that does not come any more counts still")
		}
	}
}

// TestSlowClientsAreLeft: who sends a byte now and then holds no connection, and
// changes nothing.
func TestSlowClientsAreLeft(t *testing.T) {
	s := serve(t, httpapi.Options{Pace: 200 * time.Millisecond, Connections: 1})
	conn := s.dial(t)
	if _, err := fmt.Fprintf(conn, "PUT %s/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", keys); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	dripped := make(chan struct{})
	go func() {
		defer close(dripped)
		for ctx.Err() == nil {
			if _, err := conn.Write([]byte("x")); err != nil {
				return
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 400 || !strings.Contains(string(body), "too slowly") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	cancel()
	<-dripped
	_ = conn.Close()
	s.ask(t, "GET", keys+"/slow", "").wants(t, "nothing of it is there, and the connection is free", 404, "not_found")
}

// TestMutatedRequests sends what programs with bugs and people with intentions
// send. Whatever it is, it is answered or the connection is cut, the node lives, and
// what no valid request named has not changed.
func TestMutatedRequests(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := serve(t, httpapi.Options{})
	server := httpapi.New(s.node.API(), httpapi.Options{Pace: 100 * time.Millisecond, Heartbeat: 5 * time.Millisecond, Timeout: 15 * time.Millisecond})
	defer func() { _ = server.Close(context.Background()) }()
	s.ask(t, "PUT", "/v1/buckets/kept/keys/k?create_bucket=true", "safe").wants(t, "put", 200, "")
	const requests = 10_000
	codes := map[int]int{}
	for i := range requests {
		raw := mutated(rnd)
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			codes[0]++ // what net/http refuses by itself
			continue
		}
		limit := 200 * time.Millisecond
		if strings.Contains(req.URL.Path, "watch") {
			limit = 5 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		rec := httptest.NewRecorder()
		server.ServeHTTP(rec, req.WithContext(ctx))
		cancel()
		codes[rec.Code]++
		if rec.Code >= 500 && rec.Code != 503 && rec.Code != 501 {
			t.Fatalf("request %d: status %d: %s\n%q", i, rec.Code, rec.Body, raw)
		}
		if kind := rec.Header().Get("Content-Type"); rec.Code >= 400 && req.Method != http.MethodHead && kind != "application/problem+json" {
			t.Fatalf("request %d: status %d as %s: %s\n%q", i, rec.Code, kind, rec.Body, raw)
		}
	}
	t.Logf("answers by status: %v", codes)
	for _, status := range []int{200, 400, 404, 405} {
		if codes[status] == 0 {
			t.Errorf("no mutation was answered with %d: they are too wild, or too tame", status)
		}
	}
	if got := s.ask(t, "GET", "/v1/buckets/kept/keys/k", ""); got.body != "safe" {
		t.Errorf("a row that no request named is %q", got.body)
	}
	s.ask(t, "GET", "/readyz", "").wants(t, "ready", 200, "")
}

// mutated is a request that is right but for some bytes.
func mutated(rnd *rand.Rand) []byte {
	body := []string{"", "v", `{"key":"a","value":"1"}` + "\n", `{"key":"a","deleted":true}` + "\n" + `{"key_b64":"/w==","value":"x","ttl":"1h"}`}[rnd.IntN(4)]
	line := [][2]string{
		{"GET", keys + "/k"},
		{"PUT", keys + "/k?ttl=1h"},
		{"DELETE", keys + "/k"},
		{"HEAD", keys + "/k"},
		{"GET", keys + "?prefix=a&limit=2&reverse=true"},
		{"DELETE", keys + "?prefix=zz"},
		{"POST", "/v1/buckets/default/batch"},
		{"POST", "/v1/buckets/default/mget"},
		{"POST", "/v1/buckets/default/load"},
		{"GET", "/v1/buckets/default/watch?values=false"},
		{"GET", "/v1/buckets/default/reached?token=a/0000000000000001:1"},
		{"GET", "/v1/status"},
		{"GET", "/metrics"},
		{"PUT", "/v1/buckets/new"},
		{"PUT", "/v1/settings/some-*"},
	}[rnd.IntN(15)]
	head := []string{
		"Host: localhost", "Content-Length: " + fmt.Sprint(len(body)), "If-Match: \"a/0000000000000001:1\"", "If-None-Match: *", "Accept: text/event-stream",
		"Replicator-After: a/0000000000000001:1", "Replicator-Timeout: 10ms", "Authorization: Bearer x",
	}
	keep := head[:2]
	for _, h := range head[2:] {
		if rnd.IntN(4) == 0 {
			keep = append(keep, h)
		}
	}
	raw := []byte(line[0] + " " + line[1] + " HTTP/1.1\r\n" + strings.Join(keep, "\r\n") + "\r\n\r\n" + body)
	for range rnd.IntN(4) {
		at := rnd.IntN(len(raw))
		switch rnd.IntN(5) {
		case 0:
			raw[at] = byte(rnd.IntN(256))
		case 1:
			raw = slices.Delete(raw, at, min(at+1+rnd.IntN(8), len(raw)))
		case 2:
			raw = slices.Insert(raw, at, raw[at:min(at+rnd.IntN(40), len(raw))]...)
		case 3:
			raw = raw[:at+1]
		case 4:
			raw = slices.Insert(raw, at, []byte([]string{"%", "%00", "../", "\x00", "9999999999999999999", `"`, "&", "\xff"}[rnd.IntN(8)])...)
		}
		if len(raw) == 0 {
			return []byte("x")
		}
	}
	return raw
}

func TestReadyTellsWritesApart(t *testing.T) {
	s := serve(t, httpapi.Options{})
	s.ask(t, "GET", "/readyz", "").wants(t, "ready", 200, "")
	if err := s.node.Close(); err != nil {
		t.Fatal(err)
	}
	s.ask(t, "GET", "/healthz", "").wants(t, "alive", 200, "")
	s.ask(t, "GET", "/readyz", "").wants(t, "not ready", http.StatusServiceUnavailable, "not_ready")
	s.ask(t, "GET", keys+"/k", "").wants(t, "get of one that stopped", http.StatusServiceUnavailable, "")
	s.ask(t, "PUT", keys+"/k", "v").wants(t, "put", http.StatusServiceUnavailable, "")
}

func TestReplicaRefusesWrites(t *testing.T) {
	url := startNATS(t)
	cfg := node("r")
	cfg.Replica = true
	s := &site{url: serveNode(t, openNode(t, url, cfg), httpapi.Options{})}
	for method, path := range map[string]string{"PUT": keys + "/k?create_bucket=true", "DELETE": keys + "?prefix=", "POST": "/v1/buckets/default/batch"} {
		a := s.ask(t, method, path, `{"key":"k","value":"v"}`)
		if a.code < 400 {
			t.Errorf("%s %s: %d", method, path, a.code)
		}
	}
}

func TestMetrics(t *testing.T) {
	url := startNATS(t)
	s := &site{node: openNode(t, url, node("a"))}
	s.url = serveNode(t, s.node, httpapi.Options{})
	s.ask(t, "PUT", keys+"/k", "v").wants(t, "put", 200, "")
	b := openNode(t, url, node("b"))
	bucket, err := b.Bucket(replicator.DefaultBucket)
	if err != nil {
		t.Fatal(err)
	}
	dot := strings.Trim(s.ask(t, "GET", keys+"/k", "").header.Get("ETag"), `"`)
	tokens, err := api.ParseTokens(dot)
	if err != nil {
		t.Fatal(err)
	}
	if err := bucket.WaitSeen(t.Context(), tokens...); err != nil {
		t.Fatal(err)
	}
	late := time.Now().Add(20 * time.Second)
	for {
		got := s.ask(t, "GET", "/metrics", "")
		got.wants(t, "metrics", 200, "")
		missing := slices.DeleteFunc([]string{
			`replicator_info{node="a",role="master",version="`, "replicator_ready 1", "replicator_online 1", "replicator_writable 1",
			`replicator_bucket_keys{bucket="default"} 1`, `replicator_peer_live{peer="b"} 1`, `replicator_peer_in_sync{bucket="default",peer="b"} 1`,
			"go_goroutines", "process_open_fds",
		}, func(want string) bool { return strings.Contains(got.body, want) })
		if len(missing) == 0 {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%q missing in %s", missing, got.body)
		}
	}
}

// TestStatusIsThatOfTheAPI: the same words as `replicator status --json` has.
func TestStatusIsThatOfTheAPI(t *testing.T) {
	s := serve(t, httpapi.Options{})
	a := s.ask(t, "GET", "/v1/status", "")
	a.wants(t, "status", 200, "")
	var st api.Status
	if err := json.Unmarshal([]byte(a.body), &st); err != nil || st.Node != "a" || !st.Ready {
		t.Errorf("%v: %s", err, a.body)
	}
}
