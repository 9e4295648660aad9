package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"replicator/api"
	"replicator/httpapi"
)

// rowsOf splits a list into its rows and its last line.
func rowsOf(tb testing.TB, a answer) (found []string, end map[string]any) {
	tb.Helper()
	a.wants(tb, "list", 200, "")
	lines := strings.Split(strings.TrimSuffix(a.body, "\n"), "\n")
	for _, line := range lines[:len(lines)-1] {
		var row struct{ Key, Value string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			tb.Fatalf("%v: %s", err, line)
		}
		found = append(found, strings.TrimSuffix(row.Key+"="+row.Value, "="))
	}
	var last struct{ End map[string]any }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.End == nil {
		tb.Fatalf("%v, no end: %s", err, a.body)
	}
	return found, last.End
}

func TestList(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for _, key := range []string{"a", "b/1", "b/2", "b/3", "c"} {
		s.ask(t, "PUT", keys+"/"+key, strings.ToUpper(key)).wants(t, key, 200, "")
	}
	for query, want := range map[string]string{
		"":                             "[a=A b/1=B/1 b/2=B/2 b/3=B/3 c=C] more=false",
		"?prefix=b/":                   "[b/1=B/1 b/2=B/2 b/3=B/3] more=false",
		"?prefix=b/&values=false":      "[b/1 b/2 b/3] more=false",
		"?prefix=b/&limit=2":           "[b/1=B/1 b/2=B/2] more=true after=b/2",
		"?prefix=b/&limit=2&after=b/2": "[b/3=B/3] more=false",
		"?limit=5":                     "[a=A b/1=B/1 b/2=B/2 b/3=B/3 c=C] more=false",
		"?start=b/2&end=c":             "[b/2=B/2 b/3=B/3] more=false",
		"?reverse=true&limit=2":        "[c=C b/3=B/3] more=true after=b/3",
		"?reverse=true&after=b/1":      "[a=A] more=false",
		"?prefix=none":                 "[] more=false",
	} {
		found, end := rowsOf(t, s.ask(t, "GET", keys+query, ""))
		got := fmt.Sprintf("%v more=%v", found, end["more"])
		if end["after"] != nil {
			got += fmt.Sprintf(" after=%v", end["after"])
		}
		if got != want || end["keys"] != float64(len(found)) {
			t.Errorf("%q: %s, want %s; %v", query, got, want, end)
		}
	}
	for _, bad := range []string{
		"limit=0", "limit=-1", "limit=x", "limit=9999999999999", "reverse=maybe", "values=2", "prefix=a&prefix=b", "colour=red", "prefix=%zz",
		"start=" + strings.Repeat("k", 4097),
	} {
		s.ask(t, "GET", keys+"?"+bad, "").wants(t, clipped(bad), 400, "bad_request")
	}
	s.ask(t, "GET", "/v1/buckets/none/keys", "").wants(t, "no bucket", 404, "no_bucket")
}

func clipped(s string) string { return s[:min(len(s), 40)] }

// TestListGoesOnBehindAnyKey: the last key of a page may be no text.
func TestListGoesOnBehindAnyKey(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for _, key := range []string{"%00", "%FE", "%FF"} {
		s.ask(t, "PUT", keys+"/"+key, key).wants(t, key, 200, "")
	}
	_, end := rowsOf(t, s.ask(t, "GET", keys+"?limit=2", ""))
	if end["after_b64"] != "/g==" || end["after"] != nil {
		t.Errorf("end %v", end)
	}
	if rest, _ := rowsOf(t, s.ask(t, "GET", keys+"?after=%FE", "")); len(rest) != 1 {
		t.Errorf("the rest is %q", rest)
	}
}

func TestWatchLines(t *testing.T) {
	s := serve(t, httpapi.Options{Heartbeat: 20 * time.Millisecond})
	tail := s.follow(t, "/v1/buckets/default/watch?prefix=a/")
	if line := tail.next(t); line != `{"open":{"node":"a"}}` {
		t.Fatalf("first %s", line)
	}
	if line := tail.next(t); line != `{"alive":true}` {
		t.Errorf("then %s", line)
	}
	s.ask(t, "PUT", keys+"/a/1", "one")
	s.ask(t, "PUT", keys+"/b/1", "not asked for")
	s.ask(t, "DELETE", keys+"/a/1", "")
	for _, want := range []string{`"value":"one"`, `"deleted":true`} {
		if line := tail.nextBut(t, `{"alive":true}`); !strings.Contains(line, want) || !strings.Contains(line, `"key":"a/1"`) {
			t.Errorf("%s, want %s", line, want)
		}
	}
}

// nextBut is next without lines that are to be skipped.
func (t *tail) nextBut(tb testing.TB, skip string) string {
	tb.Helper()
	for {
		if line := t.next(tb); line != skip {
			return line
		}
	}
}

// An event is a server-sent one.
type event struct{ kind, id, data string }

// nextEvent reads the next one that is no comment, and no mark unless marks are asked for.
func (t *tail) nextEvent(tb testing.TB, marks bool) (ev event) {
	tb.Helper()
	for {
		name, value, _ := strings.Cut(t.next(tb), ": ")
		switch name {
		case "event":
			ev = event{kind: value}
		case "id":
			ev.id = value
		case "data":
			if ev.data = value; marks || ev.kind != "mark" {
				return ev
			}
		case "END":
			tb.Fatal("the stream ends")
		}
	}
}

func TestWatchEvents(t *testing.T) {
	s := serve(t, httpapi.Options{})
	tail := s.follow(t, "/v1/buckets/default/watch?deletes=false&values=false", "Accept", "text/event-stream")
	if ev := tail.nextEvent(t, true); ev != (event{kind: "open", data: `{"node":"a"}`}) {
		t.Fatalf("first %+v", ev)
	}
	s.ask(t, "PUT", keys+"/k", "v1")
	s.ask(t, "DELETE", keys+"/k", "")
	s.ask(t, "PUT", keys+"/k", "v2")
	for _, seq := range []string{`"seq":1,`, `"seq":3,`} {
		if ev := tail.nextEvent(t, false); ev.kind != "put" || ev.id != "" || !strings.Contains(ev.data, seq) || strings.Contains(ev.data, "value") {
			t.Errorf("want %s: %+v", seq, ev)
		}
	}
	for _, bad := range []string{"prefix=a&prefix=b", "values=2", "deletes=x", "limit=3", "from=1970", "resume=x", "from=start&resume=x"} {
		s.ask(t, "GET", "/v1/buckets/default/watch?"+bad, "").wants(t, bad, 400, "bad_request")
	}
	s.ask(t, "GET", "/v1/buckets/none/watch", "").wants(t, "no bucket", 404, "no_bucket")
}

// TestWatchGoesOnWhereItWas: a browser that lost its connection says which mark came
// last, here at another node, and gets what has come since.
func TestWatchGoesOnWhereItWas(t *testing.T) {
	url := startNATS(t)
	a, b := openNode(t, url, node("a")), openNode(t, url, node("b"))
	here := &site{node: a, url: serveNode(t, a, httpapi.Options{})}
	there := &site{node: b, url: serveNode(t, b, httpapi.Options{})}
	here.ask(t, "PUT", keys+"/before", "1")
	tail := here.follow(t, "/v1/buckets/default/watch?from=start", "Accept", "text/event-stream")
	tail.nextEvent(t, true)
	if ev := tail.nextEvent(t, true); ev.kind != "put" || !strings.Contains(ev.data, `"key":"before"`) {
		t.Errorf("first came %+v", ev)
	}
	mark := tail.nextEvent(t, true)
	if mark.kind != "mark" || mark.id == "" || !strings.Contains(mark.data, `"caught_up":true`) {
		t.Fatalf("then %+v", mark)
	}
	for i := range 3 {
		here.ask(t, "PUT", keys+"/k", fmt.Sprint(i))
	}
	token := strings.Trim(here.ask(t, "DELETE", keys+"/before", "").header.Get("ETag"), `"`)
	there.ask(t, "GET", keys+"?limit=1", "", api.HeaderAfter, token).wants(t, "b has all", 200, "")
	for query, header := range map[string][]string{"": {"Last-Event-ID", mark.id}, "?resume=" + mark.id: nil} {
		again := there.follow(t, "/v1/buckets/default/watch"+query, append([]string{"Accept", "text/event-stream"}, header...)...)
		again.nextEvent(t, true)
		var told []string
		for ev := again.nextEvent(t, true); ev.kind != "mark"; ev = again.nextEvent(t, true) {
			told = append(told, ev.kind+" "+ev.data[:strings.Index(ev.data, `,"origin"`)])
		}
		if got := strings.Join(told, ", "); got != `put {"key":"k","value":"2", delete {"key":"before","deleted":true` {
			t.Errorf("%s%v: told %s", query, header, got)
		}
	}
}

// TestStopEndsStreams: a watcher hears why, and a stop does not wait for it.
func TestStopEndsStreams(t *testing.T) {
	n := openNode(t, startNATS(t), node("a"))
	o := httpapi.Options{}
	l, err := httpapi.Listen(t.Context(), "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	server, ended := httpapi.New(n.API(), o), make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	s := &site{node: n, url: "http://" + l.Addr().String()}
	lines := s.follow(t, "/v1/buckets/default/watch")
	events := s.follow(t, "/v1/buckets/default/watch", "Accept", "text/event-stream")
	lines.next(t)
	events.next(t)
	events.next(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if line := lines.next(t); !strings.Contains(line, `{"error":`) || !strings.Contains(line, `"code":"stopping"`) {
		t.Errorf("lines end with %s", line)
	}
	if ev := events.nextEvent(t, false); ev.kind != "error" {
		t.Errorf("events end with %+v", ev)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestStreamsAreBounded: one more than allowed is told to come again.
func TestStreamsAreBounded(t *testing.T) {
	s := serve(t, httpapi.Options{Streams: 2})
	for range 2 {
		s.follow(t, "/v1/buckets/default/watch").next(t)
	}
	for _, path := range []string{keys, "/v1/buckets/default/watch"} {
		refused := s.ask(t, "GET", path, "")
		refused.wants(t, path, http.StatusTooManyRequests, "overloaded")
		if refused.header.Get("Retry-After") == "" {
			t.Error("it is not told when to come again")
		}
	}
	s.ask(t, "GET", "/healthz", "").wants(t, "other requests", 200, "")
}

// TestReaderThatStopsIsLeft: what is written for it is bounded by the system's
// buffers, its stream ends, and its place is free again.
func TestReaderThatStopsIsLeft(t *testing.T) {
	s := serve(t, httpapi.Options{Streams: 1, Pace: 300 * time.Millisecond, Heartbeat: 50 * time.Millisecond})
	value := strings.Repeat("v", 48<<10)
	for i := range 600 { // more than the system takes for one connection
		s.ask(t, "PUT", fmt.Sprintf("%s/k%d", keys, i), value).wants(t, "put", 200, "")
	}
	for _, path := range []string{keys, "/v1/buckets/default/watch?from=start"} { // nothing is written meanwhile
		conn := s.dial(t)
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v, %v", path, res, err)
		}
		late := time.Now().Add(30 * time.Second)
		for { // until the place is free
			if a := s.ask(t, "GET", keys+"?limit=1", ""); a.code == http.StatusOK {
				break
			}
			if time.Now().After(late) {
				t.Fatalf("%s: the reader that stopped has its place still", path)
			}
		}
		if rest, err := io.ReadAll(res.Body); err == nil || bytes.Contains(rest, []byte(`{"end":`)) {
			t.Errorf("%s: a stream that was cut looks whole: %v", path, err)
		}
	}
}

func (s *site) dial(tb testing.TB) net.Conn {
	tb.Helper()
	conn, err := new(net.Dialer).DialContext(tb.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestWatchTellsOthersWrites: what comes from another node is told too, as not local.
func TestWatchTellsOthersWrites(t *testing.T) {
	url := startNATS(t)
	a, b := openNode(t, url, node("a")), openNode(t, url, node("b"))
	here := &site{node: a, url: serveNode(t, a, httpapi.Options{})}
	there := &site{node: b, url: serveNode(t, b, httpapi.Options{})}
	tail := here.follow(t, "/v1/buckets/default/watch")
	tail.next(t)
	tag := strings.Trim(there.ask(t, "PUT", keys+"/k", "v").header.Get("ETag"), `"`)
	if line := tail.next(t); !strings.Contains(line, `"value":"v"`) || strings.Contains(line, `"local":true`) {
		t.Errorf("told %s", line)
	}
	if got := here.ask(t, "GET", keys+"/k", "", api.HeaderAfter, tag); got.body != "v" {
		t.Errorf("a has %q", got.body)
	}
}
