package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"replicator/api"
	"replicator/oplog"
)

func TestAnyBytesArrive(t *testing.T) {
	_, c, _ := pair(t)
	keys := []string{"plain", "\x00", "\x02frame?", "\xff\xfe", "ключ", "🙂", "new\nline", `q"uote\`, strings.Repeat("k", oplog.MaxKey)}
	values := []string{"", "v", "\x00\x01", "\x02", "\xff", "значение", "{}", "line\nline\n", "\u2028"}
	for i, key := range keys {
		value := values[i%len(values)]
		res, err := c.Put(t.Context(), "default", []byte(key), []byte(value), api.PutOptions{})
		if err != nil {
			t.Fatalf("put %q: %v", key, err)
		}
		got, err := c.Get(t.Context(), "default", []byte(key))
		if err != nil {
			t.Fatalf("get %q: %v", key, err)
		}
		if string(got.Value) != value || got.Node != "a" || got.Stamp.Seq != res.Seq || got.Stamp.HLC != res.HLC {
			t.Errorf("get %q = %+v, put %+v", key, got, res)
		}
	}
	n := 0
	for r, err := range c.List(t.Context(), "default", api.ListOptions{Values: true}) {
		if err != nil {
			t.Fatal(err)
		}
		want, err := c.Get(t.Context(), "default", r.Key)
		if err != nil || !bytes.Equal(want.Value, r.Value) {
			t.Errorf("listed %q = %q, got %q %v", r.Key, r.Value, want.Value, err)
		}
		n++
	}
	if n != len(keys) {
		t.Errorf("%d keys listed, want %d", n, len(keys))
	}
}

func TestLargestValueTravelsInFrames(t *testing.T) {
	_, c, _ := pair(t)
	for name, value := range map[string][]byte{
		"binary":   bytes.Repeat([]byte{0x02, 0xff, 0x00, 0x10}, oplog.MaxValue/4),
		"text":     bytes.Repeat([]byte("text"), oplog.MaxValue/4),
		"controls": bytes.Repeat([]byte{0x01}, oplog.MaxValue),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if _, err := c.Put(ctx, "default", []byte(name), value, api.PutOptions{}); err != nil {
			t.Fatalf("put %s: %v", name, err)
		}
		got, err := c.Get(ctx, "default", []byte(name))
		if err != nil || !bytes.Equal(got.Value, value) {
			t.Errorf("get %s: %d bytes, %v", name, len(got.Value), err)
		}
		cancel()
	}
	_, err := c.Put(t.Context(), "default", []byte("k"), make([]byte, oplog.MaxValue+1), api.PutOptions{})
	if !errors.Is(err, api.ErrTooLarge) {
		t.Errorf("put above the limit: %v", err)
	}
}

func TestSmallMaxPayload(t *testing.T) {
	url := broker(t, "a", func(o *server.Options) { o.MaxPayload = 16 << 10 })
	serve(t, url, newFake("a"), api.ServiceOptions{})
	c := client(t, dial(t, url), api.ClientOptions{})
	value := bytes.Repeat([]byte("x"), 1<<20)
	if _, err := c.Put(t.Context(), "default", []byte("k"), value, api.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), "default", []byte("k")); err != nil || !bytes.Equal(got.Value, value) {
		t.Errorf("%d bytes, %v", len(got.Value), err)
	}
}

func TestErrorsHaveStableCodes(t *testing.T) {
	f, c, _ := pair(t)
	get := func(bucket, key string) error {
		_, err := c.Get(t.Context(), bucket, []byte(key))
		return err
	}
	put := func(bucket, key string) error {
		_, err := c.Put(t.Context(), bucket, []byte(key), nil, api.PutOptions{})
		return err
	}
	for name, tt := range map[string]struct{ got, want error }{
		"missing key":     {get("default", "no"), api.ErrNotFound},
		"missing bucket":  {get("nope", "k"), api.ErrNoBucket},
		"put, no bucket":  {put("nope", "k"), api.ErrNoBucket},
		"empty key":       {get("default", ""), api.ErrBadKey},
		"put, empty key":  {put("default", ""), api.ErrBadKey},
		"long key":        {get("default", strings.Repeat("k", oplog.MaxKey+1)), api.ErrTooLarge},
		"bad bucket":      {get("a.b", "k"), api.ErrBadBucket},
		"reserved bucket": {put("apireply", "k"), api.ErrBadBucket},
		"fleet's bucket":  {put("_fleet", "k"), api.ErrBadBucket},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", name, tt.got, tt.want)
		}
	}
	f.mu.Lock()
	f.unready = true
	f.mu.Unlock()
	if err := get("default", "k"); !errors.Is(err, api.ErrNotReady) {
		t.Errorf("not ready: %v", err)
	}
	if st, err := c.Status(t.Context()); err != nil || st.Ready {
		t.Errorf("status of a node that is not ready: %+v, %v", st, err)
	}
}

func TestLoadSkipsUnchangedAndNamesRefused(t *testing.T) {
	_, c, _ := pair(t)
	var body []byte
	for _, r := range []api.Record{{Key: []byte("a"), Value: []byte("1")}, {Key: nil}, {Key: []byte("b"), Value: []byte("\xff")}} {
		body = append(r.AppendJSON(body), '\n')
	}
	for _, want := range []string{"2 0 1", "0 2 1"} {
		res, err := c.Load(t.Context(), "fresh", body, api.LoadOptions{Create: true, SkipUnchanged: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(res.Written, res.Unchanged, len(res.Errors)); got != want {
			t.Errorf("load = %s, want %s", got, want)
		}
		if e := res.Errors[0]; e.Index != 1 || !errors.Is(e.Error, api.ErrBadKey) {
			t.Errorf("refused %+v", e)
		}
	}
}

func TestBatchIsRefusedForOneRecord(t *testing.T) {
	f, c, nc := pair(t)
	lines := func(list ...api.Record) (body []byte) {
		for _, r := range list {
			body = append(r.AppendJSON(body), '\n')
		}
		return body
	}
	good := api.Record{Key: []byte("a"), Value: []byte("1")}
	gone := api.Record{Key: []byte("none"), Bare: true, Deleted: true}
	for name, bad := range map[string]api.Record{
		"empty key": {Value: []byte("1")}, "large key": {Key: bytes.Repeat([]byte("k"), oplog.MaxKey+1)}, "no value": {Key: []byte("b"), Bare: true},
	} {
		if _, err := c.Batch(t.Context(), "default", lines(good, bad), api.PutOptions{}); err == nil || !strings.Contains(err.Error(), "record 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	m, err := nc.Request("replicator.default.api.a.batch", append([]byte(`{"v":1,"skip_unchanged":true}`+"\n"), lines(good)...), time.Second)
	if err != nil || m.Header.Get(micro.ErrorCodeHeader) != "400" {
		t.Errorf("a batch that skips: %v, %v", m, err)
	}
	if len(f.rows["default"]) > 0 {
		t.Errorf("refused batches wrote %v", f.rows["default"])
	}
	res, err := c.Batch(t.Context(), "fresh", lines(good, gone, api.Record{Key: []byte("b")}), api.PutOptions{Create: true})
	if err != nil || res.Written != 2 || res.Absent != 1 || res.First != 1 || res.Last != 2 || res.Node != "a" {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := nc.Request("replicator.default.api.any.batch", lines(good), 300*time.Millisecond); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a batch to any node: %v", err)
	}
}

func TestListPagesAreBoundedAndComplete(t *testing.T) {
	f, c, nc := pair(t)
	value := bytes.Repeat([]byte("v"), 1000)
	for i := range 1500 {
		f.write("default", api.WriteOp{Key: fmt.Appendf(nil, "k%05d", i), Value: value}, api.WriteOptions{})
	}
	for _, o := range []api.ListOptions{{}, {Values: true, Full: true}, {Prefix: []byte("k0"), Values: true}} {
		n := 0
		for r, err := range c.List(t.Context(), "default", o) {
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("k%05d", n); string(r.Key) != want || r.Bare == o.Values || r.Stamp.IsZero() == o.Full {
				t.Fatalf("%+v: record %d is %s", o, n, r.Key)
			}
			n++
		}
		if n != 1500 {
			t.Errorf("%+v: %d records", o, n)
		}
	}
	m, err := nc.Request("replicator.default.api.a.ls", []byte(`{"values":true}`), time.Second)
	if err != nil || len(m.Data) > 256<<10+100 {
		t.Errorf("a page of %d bytes, %v", len(m.Data), err)
	}
}

func TestPlainRequests(t *testing.T) {
	_, _, nc := pair(t)
	ask := func(subject, body string) *nats.Msg {
		m, err := nc.Request(subject, []byte(body), 2*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		return m
	}
	ask("replicator.default.api.any.put", `{"key":"k","value":"v"}`)
	if m := ask("replicator.default.api.a.get", "k"); string(m.Data) != "v" || m.Header.Get(api.HeaderOrigin) != "a/0000000000000007" {
		t.Errorf("get: %s %v", m.Data, m.Header)
	}
	if m := ask("replicator.default.api.any.ls", ""); string(m.Data) != `{"v":1,"node":"a","more":false}`+"\n"+`{"key":"k"}`+"\n" {
		t.Errorf("ls: %s", m.Data)
	}
	m := ask("replicator.default.api.a.get", "no")
	if m.Header.Get(micro.ErrorCodeHeader) != "404" || string(m.Data) != `{"v":1,"error":{"code":"not_found","status":404,"text":"key not found"}}` {
		t.Errorf("error: %s %v", m.Data, m.Header)
	}
}

func TestHostileBodies(t *testing.T) {
	_, c, nc := pair(t)
	long := strings.Repeat(`{"key":"k","value":""}`+"\n", api.MaxOps+1)
	bodies := []string{
		"", "{", "[]", "null", `"x"`, "{}", `{"key":1,"value":""}`, `{"key":"k"}`, `{"key":"k","value":null}`,
		`{"key":"k","value":{"a":1}}`, `{"key":"k","key_b64":"aw==","value":""}`, `{"key_b64":"!","value":""}`,
		`{"key":"k","vlaue":"x"}`, `{"key":"\ud800","value":""}`, `{"key":"k","value":"\udc00\ud800"}`,
		"{\"key\":\"\xff\",\"value\":\"\"}", `{"key":"k","value":""} trailing`, strings.Repeat("[", 100000),
		`{"v":1,"create":true}` + "\nnonsense", "\x02", "\x02" + strings.Repeat("\xff", 40), "\x01\x02\x03",
	}
	verbs := []string{"put", "create", "update", "mget", "delprefix", "reached", "load", "batch", "ls", "watch", "sync", "get", "del", "status", "verify"}
	for _, verb := range verbs {
		for _, body := range bodies {
			if _, err := nc.Request("replicator.default.api.a."+verb, []byte(body), 2*time.Second); err != nil {
				t.Errorf("%s %q: %v", verb, body[:min(len(body), 40)], err)
			}
		}
	}
	for _, subject := range []string{"replicator.*.api.a.put", "replicator._x.api.a.get", "replicator.reply.api.a.get", "replicator.a+b.api.a.get"} {
		m, err := nc.Request(subject, []byte("k"), 2*time.Second)
		if err != nil || m.Header.Get(micro.ErrorCodeHeader) != "400" {
			t.Errorf("%s: %v %v", subject, m, err)
		}
	}
	if _, err := c.Load(t.Context(), "default", []byte(long), api.LoadOptions{}); !errors.Is(err, api.ErrTooLarge) {
		t.Errorf("load of too many records: %v", err)
	}
	if _, err := c.Put(t.Context(), "default", []byte("still"), []byte("here"), api.PutOptions{}); err != nil {
		t.Error(err)
	}
}

func TestReplyAimedAtOthersIsDropped(t *testing.T) {
	f, c, nc := pair(t)
	f.write("default", api.WriteOp{Key: []byte("k"), Value: []byte("v")}, api.WriteOptions{})
	all, err := nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	bad := []string{"replicator.default.live.b", "replicator.reply.b.1", "replicator.apireply", "$SYS.x", "$JS.API.x", "replicator._fleet.clock.b"}
	for _, reply := range bad {
		if err := nc.PublishRequest("replicator.default.api.a.get", reply, []byte("k")); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.PublishRequest("replicator.default.api.a.get", "replicator.apireply.me.1", []byte("k")); err != nil {
		t.Fatal(err)
	}
	for { // the good reply comes last, for one subscription is served in order
		m, err := all.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, reply := range bad {
			if m.Subject == reply {
				t.Fatalf("answered to %s", reply)
			}
		}
		if m.Subject == "replicator.apireply.me.1" {
			break
		}
	}
	if _, err := c.Get(t.Context(), "default", []byte("k")); err != nil {
		t.Error(err)
	}
}

func TestClosedInboxPermission(t *testing.T) {
	url := broker(t, "a", func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "node", Password: "n"},
			{Username: "c1", Password: "c", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"replicator.default.api.*.get"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"replicator.apireply.c1.>"}},
			}},
		}
	})
	nc := dial(t, url, nats.UserInfo("node", "n"))
	s, err := api.NewService(nc, newFake("a"), api.ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop(t.Context()) }()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	if _, err := api.NewClient(dial(t, url, nats.UserInfo("c1", "c"), quiet), api.ClientOptions{}); !errors.Is(err, api.ErrNoReplies) {
		t.Errorf("a client that hears no reply: %v", err)
	}
	c := client(t, dial(t, url, nats.UserInfo("c1", "c"), nats.CustomInboxPrefix("replicator.apireply.c1"), quiet), api.ClientOptions{Timeout: time.Second, Silence: time.Second})
	if _, err := c.Get(t.Context(), "default", []byte("k")); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	for _, err := range c.Watch(t.Context(), "default", nil, api.WatchOptions{}) {
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("watch without permission: %v", err)
		}
	}
	_, err = c.Put(t.Context(), "default", []byte("k"), nil, api.PutOptions{})
	if !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("put without permission: %v", err)
	}
}

func TestFullServiceAnswersOverloaded(t *testing.T) {
	url := broker(t, "a", nil)
	f := newFake("a")
	f.block = make(chan struct{})
	serve(t, url, f, api.ServiceOptions{Concurrency: 2})
	c := client(t, dial(t, url), api.ClientOptions{})
	done := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := c.Get(t.Context(), "default", []byte("k"))
			done <- err
		}()
		<-f.blocked
	}
	if _, err := c.Get(t.Context(), "default", []byte("k")); !errors.Is(err, api.ErrOverloaded) {
		t.Errorf("third: %v", err)
	}
	close(f.block)
	for range 2 {
		if err := <-done; !errors.Is(err, api.ErrNotFound) {
			t.Errorf("held: %v", err)
		}
	}
}

func TestClientFindsNode(t *testing.T) {
	url := broker(t, "hub", nil)
	a, b := newFake("a"), newFake("b")
	a.unready = true
	serve(t, url, a, api.ServiceOptions{})
	serve(t, url, b, api.ServiceOptions{})
	serve(t, url, newFake("other"), api.ServiceOptions{Prefix: "elsewhere"})
	nc := dial(t, url)
	status := func(o api.ClientOptions) string {
		st, err := client(t, nc, o).Status(t.Context())
		if err != nil {
			return err.Error()
		}
		return st.Node
	}
	if got := status(api.ClientOptions{}); got != "b" {
		t.Errorf("any ready node is %s", got)
	}
	if got := status(api.ClientOptions{Node: "a"}); got != "a" {
		t.Errorf("a is %s", got)
	}
	if got := status(api.ClientOptions{Node: "gone"}); got != `no node "gone" answers under the prefix "replicator"` {
		t.Error(got)
	}
	if got := status(api.ClientOptions{Prefix: "nobody"}); got != `no node answers under the prefix "nobody"` {
		t.Error(got)
	}
	nodes, err := client(t, nc, api.ClientOptions{}).Nodes(t.Context())
	if err != nil || len(nodes) != 2 || nodes[0].Node != "a" || nodes[1].Node != "b" || nodes[0].Version != "v1.2.3" {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
}

func TestClientPrefersNodeOfItsServer(t *testing.T) {
	url := broker(t, "b", nil)
	serve(t, url, newFake("a"), api.ServiceOptions{})
	serve(t, url, newFake("b"), api.ServiceOptions{})
	st, err := client(t, dial(t, url), api.ClientOptions{}).Status(t.Context())
	if err != nil || st.Node != "b" {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestMicroShowsNode(t *testing.T) {
	_, _, nc := pair(t)
	m, err := nc.Request("$SRV.STATS.replicator", nil, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var stats micro.Stats
	if err := json.Unmarshal(m.Data, &stats); err != nil {
		t.Fatal(err)
	}
	if stats.Version != "1.2.3" || stats.Metadata["node"] != "a" || stats.Metadata["prefix"] != "replicator" {
		t.Errorf("%+v", stats.ServiceIdentity)
	}
	found := false
	for _, e := range stats.Endpoints {
		if e.Name == "status" {
			found = e.QueueGroup == "" && strings.Contains(string(e.Data), `"keys":2,"lag":3`)
		}
	}
	if !found {
		t.Errorf("no keys and lag in %s", m.Data)
	}
}

func TestVerify(t *testing.T) {
	_, c, _ := pair(t)
	d, err := c.Verify(t.Context(), "a", "", api.VerifyOptions{})
	if err != nil || d.Node != "a" || len(d.Buckets) != 1 || d.Buckets[0].Clock["a/0000000000000007"] != 2 {
		t.Errorf("%+v, %v", d, err)
	}
}
