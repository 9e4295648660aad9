package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"replicator/api"
	"replicator/httpapi"
)

func TestPutGetDelete(t *testing.T) {
	s := serve(t, httpapi.Options{})
	put := s.ask(t, "PUT", keys+"/colour", "red")
	put.wants(t, "put", 200, "")
	tag := put.header.Get("ETag")
	got := s.ask(t, "GET", keys+"/colour", "")
	got.wants(t, "get", 200, "")
	if got.body != "red" || got.header.Get("ETag") != tag || got.header.Get("Content-Type") != "application/octet-stream" ||
		got.header.Get(api.HeaderSeq) != "1" || got.header.Get(api.HeaderNode) != "a" || got.header.Get(api.HeaderHLC) == "" {
		t.Errorf("got %q with %v", got.body, got.header)
	}
	if head := s.ask(t, "HEAD", keys+"/colour", ""); head.code != 200 || head.body != "" || head.header.Get("Content-Length") != "3" {
		t.Errorf("head: %+v", head)
	}
	s.ask(t, "GET", keys+"/colour", "", "If-None-Match", tag).wants(t, "not modified", 304, "")
	s.ask(t, "GET", keys+"/none", "").wants(t, "get", 404, "not_found")
	s.ask(t, "HEAD", keys+"/none", "").wants(t, "head", 404, "")
	s.ask(t, "DELETE", keys+"/colour", "").wants(t, "delete", 200, "")
	s.ask(t, "GET", keys+"/colour", "").wants(t, "get", 404, "not_found")
	s.ask(t, "DELETE", keys+"/colour", "").wants(t, "delete again", 404, "not_found")
	s.ask(t, "PUT", "/v1/buckets/other/keys/k", "v").wants(t, "no bucket", 404, "no_bucket")
	s.ask(t, "PUT", "/v1/buckets/other/keys/k?create_bucket=true", "v").wants(t, "new bucket", 200, "")
	if got := s.ask(t, "GET", "/v1/buckets", ""); !strings.Contains(got.body, `"name":"other"`) {
		t.Errorf("buckets: %s", got.body)
	}
	s.ask(t, "GET", "/v1/buckets/other", "").wants(t, "info", 200, "")
	s.ask(t, "GET", "/v1/buckets/third", "").wants(t, "info", 404, "no_bucket")
}

// TestKeysAreAnyBytes: nothing is cleaned out of a path.
func TestKeysAreAnyBytes(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for _, key := range []string{"a/b", "a//b", "../x", "./y", "/", "with space", "\x00\xff", "a%2Fb", "?q=1", "ключ", "a;b", strings.Repeat("k", 4096)} {
		path := keys + "/" + url.PathEscape(key)
		s.ask(t, "PUT", path, key).wants(t, fmt.Sprintf("put %.20q", key), 200, "")
		if got := s.ask(t, "GET", path, ""); got.body != key {
			t.Errorf("%.20q: %d %.80q", key, got.code, got.body)
		}
		b, _ := s.node.Bucket("default")
		if e, err := b.Get(t.Context(), []byte(key)); err != nil || string(e.Value) != key {
			t.Errorf("%.20q is not the key there: %v", key, err)
		}
	}
	s.ask(t, "GET", keys+"/a/b", "").wants(t, "a slash as it is", 200, "")
	s.ask(t, "PUT", keys+"/"+strings.Repeat("k", 4097), "v").wants(t, "a long key", 413, "too_large")
	s.ask(t, "PUT", keys+"/", "v").wants(t, "an empty key", 400, "bad_key")
}

func TestConditions(t *testing.T) {
	s := serve(t, httpapi.Options{})
	first := s.ask(t, "PUT", keys+"/k", "1", "If-None-Match", "*")
	first.wants(t, "create", 200, "")
	s.ask(t, "PUT", keys+"/k", "2", "If-None-Match", "*").wants(t, "create again", 412, "exists")
	second := s.ask(t, "PUT", keys+"/k", "2", "If-Match", first.header.Get("ETag"))
	second.wants(t, "update", 200, "")
	s.ask(t, "PUT", keys+"/k", "3", "If-Match", first.header.Get("ETag")).wants(t, "update of what is gone", 412, "revision")
	s.ask(t, "DELETE", keys+"/k", "", "If-Match", first.header.Get("ETag")).wants(t, "delete of what is gone", 412, "revision")
	for _, bad := range [][]string{
		{"If-Match", "*"},
		{"If-Match", "a/1:2"},
		{"If-Match", `W/"a/0000000000000001:2"`},
		{"If-Match", `"x"`},
		{"If-Match", `"a/0000000000000001:0"`},
		{"If-None-Match", `"x"`},
		{"If-Match", second.header.Get("ETag"), "If-None-Match", "*"},
	} {
		s.ask(t, "PUT", keys+"/k", "3", bad...).wants(t, fmt.Sprint(bad), 400, "precondition")
	}
	s.ask(t, "DELETE", keys+"/k", "", "If-None-Match", "*").wants(t, "delete of nothing", 400, "precondition")
	if got := s.ask(t, "GET", keys+"/k", ""); got.body != "2" {
		t.Errorf("k is %q", got.body)
	}
	s.ask(t, "DELETE", keys+"/k", "", "If-Match", second.header.Get("ETag")).wants(t, "delete", 200, "")
}

func TestExpiry(t *testing.T) {
	s := serve(t, httpapi.Options{})
	s.ask(t, "PUT", keys+"/k?ttl=1h", "v").wants(t, "ttl", 200, "")
	at, err := time.Parse(time.RFC3339Nano, s.ask(t, "GET", keys+"/k", "").header.Get(api.HeaderExpiry))
	if left := time.Until(at); err != nil || left > time.Hour || left < 50*time.Minute {
		t.Errorf("ends in %v, %v", left, err)
	}
	s.ask(t, "PUT", keys+"/k?ttl=1ns", "v").wants(t, "the shortest ttl", 200, "")
	late := time.Now().Add(10 * time.Second)
	for s.ask(t, "GET", keys+"/k", "").code == http.StatusOK && time.Now().Before(late) {
	}
	s.ask(t, "GET", keys+"/k", "").wants(t, "expired", 404, "not_found")
	// What was exported may have ended since.
	loaded := s.ask(t, "POST", "/v1/buckets/default/load", `{"key":"k","value":"v","expiry":"2001-01-01T00:00:00Z"}`)
	if loaded.wants(t, "load", 200, ""); !strings.Contains(loaded.body, `"written":1`) {
		t.Errorf("load: %s", loaded.body)
	}
	s.ask(t, "GET", keys+"/k", "").wants(t, "loaded and expired", 404, "not_found")
	for _, bad := range []string{"ttl=0s", "ttl=-1h", "ttl=soon", "expires=soon", "ttl=1h&expires=2030-01-01T00:00:00Z", "expires=1901-01-01T00:00:00Z", "expires=2001-01-01T00:00:00Z"} {
		s.ask(t, "PUT", keys+"/k?"+bad, "v").wants(t, bad, 400, "bad_request")
	}
}

func TestDeletePrefix(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for _, key := range []string{"a/1", "a/2", "b/1"} {
		s.ask(t, "PUT", keys+"/"+key, "v").wants(t, key, 200, "")
	}
	s.ask(t, "DELETE", keys, "").wants(t, "no prefix", 400, "bad_request")
	if got := s.ask(t, "DELETE", keys+"?prefix=a/", ""); !strings.Contains(got.body, `"deleted":2`) {
		t.Errorf("deleted: %s", got.body)
	}
	s.ask(t, "GET", keys+"/b/1", "").wants(t, "another prefix", 200, "")
	if got := s.ask(t, "DELETE", keys+"?prefix=", ""); !strings.Contains(got.body, `"deleted":1`) {
		t.Errorf("deleted: %s", got.body)
	}
}

// TestTokensMoveBetweenNodes: a read at another node sees what was written.
func TestTokensMoveBetweenNodes(t *testing.T) {
	s := serve(t, httpapi.Options{})
	token := strings.Trim(s.ask(t, "PUT", keys+"/k", "v").header.Get("ETag"), `"`)
	s.ask(t, "GET", keys+"/k", "", api.HeaderAfter, token).wants(t, "seen", 200, "")
	s.ask(t, "GET", "/v1/buckets/default/reached?token="+url.QueryEscape(token), "").wants(t, "reached", 200, "")
	future := strings.TrimSuffix(token, "1") + "5"
	for _, path := range []string{keys + "/k", keys, "/v1/buckets/default/watch", "/v1/buckets/default/reached?token=" + url.QueryEscape(future)} {
		s.ask(t, "GET", path, "", api.HeaderAfter, future, api.HeaderTimeout, "100ms").wants(t, path, http.StatusConflict, "behind")
	}
	s.ask(t, "GET", keys+"/k", "", api.HeaderAfter, "x").wants(t, "no token", 400, "bad_request")
	s.ask(t, "GET", "/v1/buckets/default/reached", "").wants(t, "no token", 400, "bad_request")
}

func TestBulkVerbs(t *testing.T) {
	s := serve(t, httpapi.Options{})
	batch := "/v1/buckets/default/batch"
	s.ask(t, "POST", batch, `{"key":"a","value":"1"}`+"\n"+`{"key":"b","value":"2"}`).wants(t, "batch", 200, "")
	s.ask(t, "POST", batch, `{"key":"c","value":"1"}`+"\n"+`{"key":"a","value":"2","if_local":"absent"}`).wants(t, "batch", 412, "exists")
	s.ask(t, "GET", keys+"/c", "").wants(t, "half a batch", 404, "not_found")
	got := s.ask(t, "POST", "/v1/buckets/default/mget", `{"key":"b"}`+"\n"+`{"key":"none"}`)
	if lines := strings.Split(strings.TrimSpace(got.body), "\n"); len(lines) != 2 || !strings.Contains(lines[1], `"value":"2"`) {
		t.Errorf("mget: %s", got.body)
	}
	got = s.ask(t, "POST", "/v1/buckets/default/load", `{"key":"d","value":"1"}`+"\n"+`{"key":"","value":"2"}`)
	if got.code != 200 || !strings.Contains(got.body, `"written":1`) || !strings.Contains(got.body, `"index":1`) {
		t.Errorf("load: %s", got.body)
	}
	s.ask(t, "POST", batch, `{"key":`).wants(t, "no JSON", 400, "bad_request")
	s.ask(t, "POST", batch+"?atomic=no", `{}`).wants(t, "unknown parameter", 400, "bad_request")
}
