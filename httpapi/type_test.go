package httpapi_test

import (
	"strings"
	"testing"

	"replicator/httpapi"
)

// TestContentType: what a writer said of the body comes back with it, and in records.
func TestContentType(t *testing.T) {
	s := serve(t, httpapi.Options{})
	long := strings.Repeat("x", 255)
	for _, tt := range []struct{ said, want string }{
		{"application/json", "application/json"},
		{`text/plain; charset="utf-8"`, `text/plain; charset="utf-8"`},
		{long, long},
		{"", "application/octet-stream"},
		{"application/x-www-form-urlencoded", "application/octet-stream"}, // what curl says of everything
	} {
		var said []string
		if tt.said != "" {
			said = []string{"Content-Type", tt.said}
		}
		s.ask(t, "PUT", keys+"/k", "{}", said...).wants(t, tt.said, 200, "")
		for _, method := range []string{"GET", "HEAD"} {
			if got := s.ask(t, method, keys+"/k", "").header.Get("Content-Type"); got != tt.want {
				t.Errorf("%s after %q: %q", method, tt.said, got)
			}
		}
	}
	s.ask(t, "PUT", keys+"/k", "{}", "Content-Type", "application/json").wants(t, "put", 200, "")
	for _, path := range []string{keys, "/v1/buckets/default/watch?from=start"} {
		rows := s.follow(t, path)
		line := rows.next(t)
		if strings.Contains(line, `"open"`) {
			line = rows.next(t)
		}
		if !strings.Contains(line, `"type":"application/json"`) {
			t.Errorf("%s: %s", path, line)
		}
	}
	many := s.ask(t, "POST", "/v1/buckets/default/mget", `{"key":"k"}`)
	if !strings.Contains(many.body, `"type":"application/json"`) {
		t.Errorf("mget: %s", many.body)
	}
	s.ask(t, "POST", "/v1/buckets/default/batch", `{"key":"b","value":"x","type":"a/b"}`).wants(t, "batch", 200, "")
	if got := s.ask(t, "GET", keys+"/b", "").header.Get("Content-Type"); got != "a/b" {
		t.Errorf("after a batch: %q", got)
	}
}

// TestContentTypeIsNoWayIn: nothing that a writer says of a value gets out of its
// header, or makes a browser run the value as a page of this origin.
func TestContentTypeIsNoWayIn(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for _, bad := range []string{strings.Repeat("x", 256), "text/h\u00e9", "a\tb"} {
		s.ask(t, "PUT", keys+"/k", "v", "Content-Type", bad).wants(t, bad, 400, "bad_request")
	}
	for _, bad := range []string{`a\nb`, `a\r\nSet-Cookie: b=c`, `\u0000`, `\u00e9`, ` a`, strings.Repeat("x", 256)} {
		line := `{"key":"k","value":"v","type":"` + bad + `"}`
		for _, verb := range []string{"batch", "load"} {
			a := s.ask(t, "POST", "/v1/buckets/default/"+verb, line)
			if a.code != 400 && !strings.Contains(a.body, `"written":0`) {
				t.Errorf("%s of %s: %d %s", verb, bad, a.code, a.body)
			}
		}
	}
	s.ask(t, "GET", keys+"/k", "").wants(t, "nothing was written", 404, "not_found")

	s.ask(t, "PUT", keys+"/k", "<script>", "Content-Type", "text/html").wants(t, "html", 200, "")
	h := s.ask(t, "GET", keys+"/k", "").header
	if h.Get("Content-Security-Policy") != "sandbox; default-src 'none'" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a browser may run it: %v", h)
	}
}
