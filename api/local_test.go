package api_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"replicator/api"
	"replicator/oplog"
)

func dotOf(t *testing.T, res api.PutResult) oplog.Dot {
	t.Helper()
	o, err := oplog.ParseOrigin(res.Origin)
	if err != nil {
		t.Fatal(err)
	}
	return oplog.Dot{Origin: o, Seq: res.Seq}
}

// TestConditionsHaveCodes: those of a client and those of a bare request.
func TestConditionsHaveCodes(t *testing.T) {
	_, c, nc := pair(t)
	ctx, key := t.Context(), []byte("k")
	put := func(value string, cond api.Condition) (api.PutResult, error) {
		return c.Put(ctx, "default", key, []byte(value), api.PutOptions{If: cond})
	}
	first, err := put("1", api.Condition{Absent: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put("2", api.Condition{Absent: true}); !errors.Is(err, api.ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	second, err := put("2", api.Condition{Revision: dotOf(t, first)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put("3", api.Condition{Revision: dotOf(t, first)}); !errors.Is(err, api.ErrRevision) {
		t.Errorf("updated an old revision: %v", err)
	}
	if _, err := c.DeleteLocal(ctx, "default", key, dotOf(t, first)); !errors.Is(err, api.ErrRevision) {
		t.Errorf("deleted an old revision: %v", err)
	}
	for subject, tt := range map[string]struct{ body, code string }{
		"create": {`{"key":"k","value":"x"}`, "412"},
		"update": {`{"key":"k","value":"x"}`, "400"}, // without a revision
		"put":    {`{"key":"k","value":"x","if_local":"absent"}`, "412"},
		"batch":  {`{"key":"new","value":"x"}` + "\n" + `{"key":"k","value":"x","if_local":"a/0000000000000007:99"}`, "412"},
	} {
		m, err := nc.Request("replicator.default.api.a."+subject, []byte(tt.body), 2*time.Second)
		if err != nil || m.Header.Get(micro.ErrorCodeHeader) != tt.code {
			t.Errorf("%s: %v, %s %v", subject, err, m.Data, m.Header)
		}
	}
	for _, body := range []string{
		`{"key":"k","value":"x","if_local":"nonsense"}`, `{"key":"k","value":"x","if_local":"a/0000000000000007:0"}`,
		`{"key":"k","value":"x","ttl":"soon"}`, `{"key":"k","value":"x","ttl":"-1s"}`, `{"key":"k","value":"x","ttl":"0s"}`,
		`{"key":"k","value":"x","ttl":"1s","expiry":"2030-01-01T00:00:00Z"}`, `{"key":"k","value":"x","expiry":"tomorrow"}`,
		`{"key":"k","deleted":true,"ttl":"1s","if_local":"a/0000000000000007:2"}`,
	} {
		m, err := nc.Request("replicator.default.api.a.update", []byte(body), 2*time.Second)
		if err != nil || m.Header.Get(micro.ErrorCodeHeader) != "400" {
			t.Errorf("%s: %v, %s", body, err, m.Data)
		}
	}
	if _, err := c.DeleteLocal(ctx, "default", key, dotOf(t, second)); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(ctx, "default", []byte("new")); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("a part of a refused batch was written: %v", err)
	}
}

// TestExpiryTravels: with a put, a load and a list, so that an export imported
// again does not live for ever.
func TestExpiryTravels(t *testing.T) {
	_, c, _ := pair(t)
	ctx, at := t.Context(), time.Now().Add(time.Hour).UnixMilli()
	if _, err := c.Put(ctx, "default", []byte("at"), nil, api.PutOptions{Expiry: at}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(ctx, "default", []byte("ttl"), nil, api.PutOptions{TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(ctx, "default", []byte("bad"), nil, api.PutOptions{TTL: time.Hour, Expiry: at}); !errors.Is(err, api.ErrBadRequest) {
		t.Errorf("both: %v", err)
	}
	n := 0
	for r, err := range c.List(ctx, "default", api.ListOptions{Values: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; r.Expiry < at || r.Expiry > at+60_000 {
			t.Errorf("%s expires at %d", r.Key, r.Expiry)
		}
		line := r.AppendJSON(nil)
		if _, err := c.Load(ctx, "default", append(line, '\n'), api.LoadOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Get(ctx, "default", r.Key); err != nil || got.Expiry != r.Expiry {
			t.Errorf("%s: imported again it expires at %d, %v", r.Key, got.Expiry, err)
		}
	}
	if n != 2 {
		t.Errorf("%d rows", n)
	}
}

// TestManyKeys asks for more than fit one reply, with holes.
func TestManyKeys(t *testing.T) {
	_, c, nc := pair(t)
	var keys [][]byte
	for i := range 400 {
		key := fmt.Appendf(nil, "key-%03d", i)
		keys = append(keys, key)
		if i%3 == 0 {
			continue
		}
		if _, err := c.Put(t.Context(), "default", key, []byte(strings.Repeat("v", 3000)), api.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	keys = append(keys, keys[1])
	found, err := c.GetMany(t.Context(), "default", keys...)
	if err != nil || len(found) != 267 {
		t.Fatalf("%d found, %v", len(found), err)
	}
	at := 0
	for i, key := range keys {
		if i%3 == 0 && i < 400 {
			continue
		}
		if r := found[at]; string(r.Key) != string(key) || len(r.Value) != 3000 || r.Stamp.IsZero() || r.Node != "a" {
			t.Fatalf("%d: %q, want %q", at, r.Key, key)
		}
		at++
	}
	if none, err := c.GetMany(t.Context(), "default"); err != nil || len(none) > 0 {
		t.Errorf("no keys: %v, %v", none, err)
	}
	m, err := nc.Request("replicator.default.api.any.mget", []byte(`{"key":"key-001"}`+"\n"+`{"key":"none"}`), 2*time.Second)
	if err != nil || !strings.HasPrefix(string(m.Data), `{"v":1,"node":"a","asked":2}`+"\n"+`{"key":"key-001","value":"vvv`) {
		t.Errorf("%v: %.200s", err, m.Data)
	}
}

// TestDeleteByPrefixGoesOn from page to page.
func TestDeleteByPrefixGoesOn(t *testing.T) {
	f, c, nc := pair(t)
	var lines []byte
	for i := range 25 {
		lines = append((&api.Record{Key: fmt.Appendf(nil, "x/%02d", i)}).AppendJSON(lines), '\n')
	}
	if _, err := c.Load(t.Context(), "default", lines, api.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), "default", []byte("y"), nil, api.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	m, err := nc.Request("replicator.default.api.a.delprefix", []byte(`{"prefix":"x/","limit":10}`), 2*time.Second)
	if err != nil || string(m.Data) != `{"v":1,"node":"a","deleted":10,"last":"x/09"}` {
		t.Errorf("%v: %s", err, m.Data)
	}
	for _, body := range []string{`{"prefix":"x/","start":"x/1"}`, `{"prefix":"x/","reverse":true}`, `{"prefix":"x/","limit":-1}`, ""} {
		m, err := nc.Request("replicator.default.api.a.delprefix", []byte(body), 2*time.Second)
		if err != nil || m.Header.Get(micro.ErrorCodeHeader) != "400" {
			t.Errorf("%s: %v, %s", body, err, m.Data)
		}
	}
	if n, err := c.DeletePrefix(t.Context(), "default", []byte("x/")); n != 15 || err != nil {
		t.Errorf("%d deleted, %v", n, err)
	}
	if _, err := f.Get(t.Context(), "default", []byte("y")); err != nil {
		t.Errorf("another key: %v", err)
	}
}

// TestTokensOfBareRequests: bad ones are refused, of reads and of reached.
func TestTokensOfBareRequests(t *testing.T) {
	_, c, nc := pair(t)
	res, err := c.Put(t.Context(), "default", []byte("k"), []byte("v"), api.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(verb, body, after, timeout string) *nats.Msg {
		m := nats.NewMsg("replicator.default.api.a." + verb)
		m.Data = []byte(body)
		m.Header.Set(api.HeaderTimeout, timeout)
		if after != "" {
			m.Header.Set(api.HeaderAfter, after)
		}
		reply, err := nc.RequestMsg(m, 5*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", verb, err)
		}
		return reply
	}
	token := dotOf(t, res).String()
	if m := ask("get", "k", token, "1s"); string(m.Data) != "v" {
		t.Errorf("get after what is there: %s", m.Data)
	}
	if m := ask("reached", token+", "+token, "", "1s"); string(m.Data) != `{"v":1,"node":"a"}` {
		t.Errorf("reached: %s", m.Data)
	}
	for _, verb := range []string{"get", "mget", "ls", "watch"} {
		if m := ask(verb, "", "b/0000000000000007:1", "100ms"); m.Header.Get(micro.ErrorCodeHeader) != "409" {
			t.Errorf("%s after what is not there: %s", verb, m.Data)
		}
		if m := ask(verb, "", "nonsense", "1s"); m.Header.Get(micro.ErrorCodeHeader) != "400" {
			t.Errorf("%s after nonsense: %s", verb, m.Data)
		}
	}
	for _, body := range []string{"", "x", token + ",", "a/0000000000000007:0", strings.Repeat(token+",", 64) + token} {
		if m := ask("reached", body, "", "1s"); m.Header.Get(micro.ErrorCodeHeader) != "400" {
			t.Errorf("reached %.40q: %s", body, m.Data)
		}
	}
}

// TestTypeTravels: with a put, a load and a batch, into every answer that has values.
func TestTypeTravels(t *testing.T) {
	_, c, nc := pair(t)
	ctx, key, kind := t.Context(), []byte("k"), `text/plain; charset="utf-8"`
	watched := make(chan api.Record, 10)
	go func() {
		defer close(watched)
		for r, err := range c.Watch(ctx, "default", nil, api.WatchOptions{}) {
			if err != nil {
				return
			}
			watched <- r
		}
	}()
	put := func() {
		if _, err := c.Put(ctx, "default", key, []byte("v"), api.PutOptions{Type: kind}); err != nil {
			t.Fatal(err)
		}
	}
	put()
	var told api.Record
	for wait := time.NewTicker(50 * time.Millisecond); told.Key == nil; {
		select {
		case told = <-watched:
		case <-wait.C:
			put() // until the watch has begun
		}
	}
	for _, load := range []func(line []byte) error{
		func(line []byte) error { _, err := c.Load(ctx, "default", line, api.LoadOptions{}); return err },
		func(line []byte) error { _, err := c.Batch(ctx, "default", line, api.PutOptions{}); return err },
	} {
		got, err := c.Get(ctx, "default", key)
		many, errMany := c.GetMany(ctx, "default", key)
		if err != nil || errMany != nil || len(many) != 1 || got.Type != kind || many[0].Type != kind || told.Type != kind {
			t.Fatalf("got %+v, %+v, watched %+v: %v, %v", got, many, told, err, errMany)
		}
		for r, err := range c.List(ctx, "default", api.ListOptions{Values: true}) {
			if err != nil || r.Type != kind {
				t.Fatalf("listed %+v, %v", r, err)
			}
			if err := load(append(r.AppendJSON(nil), '\n')); err != nil {
				t.Fatal(err)
			}
		}
	}
	m, err := nc.Request("replicator.default.api.a.get", key, 2*time.Second)
	if err != nil || m.Header.Get("Content-Type") != kind {
		t.Errorf("%v, %v", m.Header, err)
	}
}

// TestBadTypesHaveACode: none gets into a header.
func TestBadTypesHaveACode(t *testing.T) {
	_, c, nc := pair(t)
	for _, bad := range []string{strings.Repeat("x", 256), "a\r\nNats-Service-Error: b", "\u00e9", "a\n", "\x7f"} {
		if _, err := c.Put(t.Context(), "default", []byte("k"), nil, api.PutOptions{Type: bad}); !errors.Is(err, api.ErrBadRequest) {
			t.Errorf("%.20q: %v", bad, err)
		}
		rec := api.Record{Key: []byte("k"), Value: []byte("v"), Type: bad}
		for _, verb := range []string{"put", "create", "batch"} {
			m, err := nc.Request("replicator.default.api.a."+verb, rec.AppendJSON(nil), 2*time.Second)
			if err != nil || m.Header.Get(micro.ErrorCodeHeader) != "400" {
				t.Errorf("%s of %.20q: %v, %s", verb, bad, err, m.Data)
			}
		}
	}
	m, err := nc.Request("replicator.default.api.a.update", []byte(`{"key":"k","deleted":true,"type":"a/b","if_local":"a/0000000000000007:2"}`), 2*time.Second)
	if err != nil || m.Header.Get(micro.ErrorCodeHeader) != "400" {
		t.Errorf("a delete with a type: %v, %s", err, m.Data)
	}
}
