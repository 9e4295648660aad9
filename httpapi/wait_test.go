package httpapi_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"replicator/api"
	"replicator/httpapi"
)

// heldBy reads who has it from an answer.
func (a answer) heldBy(tb testing.TB) (by api.HeldBy) {
	tb.Helper()
	if err := json.Unmarshal([]byte(a.body), &by); err != nil {
		tb.Fatalf("%v: %s", err, a.body)
	}
	return by
}

// TestWaitForMembers: writes that three nodes are to have, and two once one has stopped.
func TestWaitForMembers(t *testing.T) {
	url3 := startNATS(t)
	a, c := openNode(t, url3, node("a")), openNode(t, url3, node("c"))
	openNode(t, url3, node("b"))
	s := &site{node: a, url: serveNode(t, a, httpapi.Options{})}
	until := time.Now().Add(20 * time.Second)
	for s.ask(t, "PUT", keys+"/first?wait=3", "v").code != 200 {
		if time.Now().After(until) {
			t.Fatal("a does not hear of the others")
		}
	}
	all := []string{"a", "b", "c"}
	put := s.ask(t, "PUT", keys+"/k?wait=all&timeout=10s", "v")
	put.wants(t, "put", 200, "")
	token := strings.Trim(put.header.Get("ETag"), `"`)
	for what, got := range map[string]answer{
		"put":     put,
		"delete":  s.ask(t, "DELETE", keys+"/k?wait=100%25", ""),
		"batch":   s.ask(t, "POST", "/v1/buckets/default/batch?wait=c,b,a", `{"key":"a","value":"1"}`+"\n"+`{"key":"b","value":"2"}`),
		"reached": s.ask(t, "GET", "/v1/buckets/default/reached?wait=all&token="+url.QueryEscape(token), ""),
	} {
		got.wants(t, what, 200, "")
		if by := got.heldBy(t); !by.Enough || !slices.Equal(by.Reached, all) || len(by.Missing) != 0 || !strings.Contains(got.body, `"node":"a"`) {
			t.Errorf("%s: %s", what, got.body)
		}
	}
	nothing := s.ask(t, "POST", "/v1/buckets/default/batch?wait=all", `{"key":"none","deleted":true}`)
	nothing.wants(t, "a batch that writes nothing", 200, "")

	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]answer{
		"put":     s.ask(t, "PUT", keys+"/k?wait=all&timeout=3s", "w"),
		"batch":   s.ask(t, "POST", "/v1/buckets/default/batch?wait=3&timeout=3s", `{"key":"a","value":"1"}`),
		"delete":  s.ask(t, "DELETE", keys+"/b?wait=c,a&timeout=3s", ""),
		"reached": s.ask(t, "GET", "/v1/buckets/default/reached?wait=all&timeout=3s&token="+url.QueryEscape(token), ""),
	} {
		by := got.heldBy(t)
		if what == "reached" { // c may have had that one, but does not say so
			got.wants(t, what, 202, "")
		}
		if got.code != 202 || by.Enough || by.Missing["c"] != "no answer" || len(by.Missing) != 1 || by.Reached[0] != "a" {
			t.Errorf("%s without c: %d %s", what, got.code, got.body)
		}
	}
	if got := s.ask(t, "GET", keys+"/k", ""); got.body != "w" {
		t.Errorf("what was accepted was not written: %q", got.body)
	}
	s.ask(t, "PUT", keys+"/k?wait=2", "x").wants(t, "two of three", 200, "")
	ahead := token[:strings.LastIndexByte(token, ':')] + ":99999"
	late := s.ask(t, "GET", "/v1/buckets/default/reached?wait=b&timeout=1s&token="+url.QueryEscape(ahead), "")
	if by := late.heldBy(t); late.code != 202 || !strings.Contains(by.Missing["b"], "behind by") {
		t.Errorf("a write that is not there: %d %s", late.code, late.body)
	}
}

// TestBadWaitWritesNothing.
func TestBadWaitWritesNothing(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for query, code := range map[string]string{
		"wait=": "bad_request", "wait=0": "bad_request", "wait=101%25": "bad_request", "wait=a%20b": "bad_request", "wait=1&timeout=soon": "bad_request",
		"wait=1&timeout=-1s": "bad_request", "timeout=1s": "bad_request", "wait=2": "too_few",
	} {
		status := map[string]int{"bad_request": 400, "too_few": 409}[code]
		s.ask(t, "PUT", keys+"/k?"+query, "v").wants(t, "put "+query, status, code)
		s.ask(t, "POST", "/v1/buckets/default/batch?"+query, `{"key":"k","value":"v"}`).wants(t, "batch "+query, status, code)
		s.ask(t, "DELETE", keys+"/k?"+query, "").wants(t, "delete "+query, status, code)
		s.ask(t, "GET", "/v1/buckets/default/reached?token=a/0000000000000001:1&"+query, "").wants(t, "reached "+query, status, code)
	}
	s.ask(t, "GET", "/v1/buckets/default/reached?token=x&wait=1", "").wants(t, "no token", 400, "bad_request")
	s.ask(t, "GET", keys+"/k", "").wants(t, "nothing was written", 404, "not_found")
	s.ask(t, "PUT", "/v1/buckets/nope/keys/k?wait=1", "v").wants(t, "no bucket", 404, "no_bucket")
	made := s.ask(t, "PUT", "/v1/buckets/made/keys/k?wait=all&create_bucket=true", "v")
	if made.wants(t, "a new bucket", 200, ""); !slices.Equal(made.heldBy(t).Reached, []string{"a"}) {
		t.Errorf("in a new bucket: %s", made.body)
	}
}
