package replicator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"replicator/api"
)

// asks are requests to the data API, by verb: what of a valid one the test below spoils.
var asks = map[string][]string{
	"get": {"k"}, "del": {"k"}, "put": {`{"key":"k","value":"v","ttl":"1h"}`, `{"key_b64":"/w==","value_b64":"AAE=","expiry":4102444800000,"create":true}`},
	"create": {`{"key":"new","value":"v"}`}, "update": {`{"key":"k","value":"v","if_local":"a/0000000000000001:1"}`},
	"mget": {"{\"key\":\"k\"}\n{\"key_b64\":\"/w==\"}\n"}, "delprefix": {`{"prefix":"zz","limit":3}`},
	"reached": {"a/0000000000000001:1,b/0000000000000002:7"}, "ls": {"", `{"prefix":"k","limit":2,"reverse":true,"values":true,"full":true}`},
	"load":   {"{\"v\":1,\"create\":true,\"skip_unchanged\":true}\n{\"key\":\"k\",\"value\":\"v\"}\n"},
	"batch":  {"{\"v\":1}\n{\"key\":\"k\",\"value\":\"v\"}\n{\"key\":\"k2\",\"deleted\":true}\n"},
	"watch":  {`{"prefix":"k","from_start":true,"marks":true}`, `{"resume":"AQdkZWZhdWx0"}`, `{"renew":"x","number":1}`},
	"verify": {`{"v":1,"deep":true,"sums":true,"parts":[1,2]}`}, "status": {""}, "conflicts": {"", "a/0000000000000001:1"},
	"take": {"a/0000000000000001:1"}, "readmit": {`{"node":"b"}`}, "collect": {`{"older_than_ms":86400000}`},
	"reconcile": {`{"v":1,"accept":true,"removes":3}`}, "bucketinfo": {""}, "bucketcreate": {""}, "settings": {""},
	"bucketset": {`{"v":1,"buckets":"some-*","settings":{"default_ttl":"1h","create":["a","b"]}}`},
}

// TestMutatedRequestsOverNATS: each is answered, with a result or an error of a stable
// code that is no fault of the node; and a row that none of them names stays as it is.
func TestMutatedRequestsOverNATS(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	url := startServer(t).ClientURL()
	a := open(t, url, short("a", ""))
	kept, err := a.CreateBucket("kept")
	if err != nil {
		t.Fatal(err)
	}
	put(t, kept, "safe", "1")
	nc := connect(t, url, "hostile")
	got := collectReplies(t, nc)
	const requests = 10_000
	verbs := slices.Sorted(maps.Keys(asks))
	sent := make([]string, requests)
	for i := range requests {
		verb := verbs[rnd.IntN(len(verbs))]
		body := spoiled(rnd, []byte(asks[verb][rnd.IntN(len(asks[verb]))]))
		if len(body) > 0 && body[0] == 2 {
			body[0] = 'x' // a frame of a body that never comes is not answered
		}
		bucket := []string{"default", "default", "default", "_fleet", "none"}[rnd.IntN(5)]
		m := &nats.Msg{
			Subject: "replicator." + bucket + ".api.a." + verb, Reply: got.inbox + strconv.Itoa(i), Data: body,
			Header: nats.Header{"Replicator-Timeout": {"20ms"}},
		}
		if rnd.IntN(4) == 0 {
			m.Header.Set("Replicator-After", string(spoiled(rnd, []byte("a/0000000000000001:1"))))
		}
		sent[i] = fmt.Sprintf("%s %q", m.Subject, body)
		if err := nc.PublishMsg(m); err != nil {
			t.Fatalf("%s: %v", sent[i], err)
		}
		if i%100 == 99 { // more at once would be turned away
			eventually(t, "a hundred are answered", func() bool { return got.count() > i })
		}
	}
	got.check(t, sent)
	if e, err := kept.Get(t.Context(), []byte("safe")); err != nil || string(e.Value) != "1" {
		t.Errorf("a row that no request named is %q, %v", e.Value, err)
	}
	put(t, bucket(t, a), "after", "1")
}

// replies are the first answers to numbered requests.
type replies struct {
	inbox string
	mu    sync.Mutex // guards first
	first map[int]*nats.Msg
}

func collectReplies(tb testing.TB, nc *nats.Conn) *replies {
	tb.Helper()
	r := &replies{inbox: nats.NewInbox() + ".", first: map[int]*nats.Msg{}}
	_, err := nc.Subscribe(r.inbox+"*", func(m *nats.Msg) {
		i, _ := strconv.Atoi(strings.TrimPrefix(m.Subject, r.inbox))
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.first[i] == nil {
			r.first[i] = m
		}
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		tb.Fatal(err)
	}
	return r
}

func (r *replies) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.first)
}

// check wants no answer that blames the node, and some of each kind.
func (r *replies) check(tb testing.TB, sent []string) {
	tb.Helper()
	codes := map[string]int{}
	for i, m := range r.first {
		if m.Header.Get("Nats-Service-Error-Code") == "" {
			codes["fine"]++
			continue
		}
		var body struct{ Error api.Error }
		if err := json.Unmarshal(m.Data, &body); err != nil || body.Error.Code == "" {
			tb.Errorf("%s: answered %q with %v", sent[i], m.Data, m.Header)
		}
		if codes[body.Error.Code]++; body.Error.Code == api.ErrInternal.Code {
			tb.Errorf("%s: %s", sent[i], body.Error.Text)
		}
	}
	tb.Logf("answers: %v", codes)
	for _, code := range []string{"fine", "bad_request", "not_found", "no_bucket", "bad_bucket"} {
		if codes[code] == 0 {
			tb.Errorf("none was answered with %s: they are too wild, or too tame", code)
		}
	}
}

// spoiled is data with some bytes changed, left out, doubled or put in.
func spoiled(rnd *rand.Rand, data []byte) []byte {
	data = bytes.Clone(data)
	for range rnd.IntN(4) {
		at := rnd.IntN(len(data) + 1)
		switch rest := data[at:]; rnd.IntN(5) {
		case 0:
			data = slices.Insert(data, at, bytes.Repeat([]byte{byte(rnd.IntN(256))}, 1+rnd.IntN(3))...)
		case 1:
			data = slices.Delete(data, at, min(at+1+rnd.IntN(8), len(data)))
		case 2:
			data = slices.Insert(data, at, bytes.Clone(rest[:min(len(rest), rnd.IntN(40))])...)
		case 3:
			data = data[:at]
		case 4:
			data = slices.Insert(data, at, []byte([]string{"\x00", "99999999999999999999", `"`, "}", "\xff\xfe", "-1", "null", `\ud800`}[rnd.IntN(8)])...)
		}
	}
	return data
}
