package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"replicator/api"
)

type httpRoad struct {
	client *http.Client
	url    string // up to the bucket's name
}

func (httpRoad) name() string { return "http" }

func (r httpRoad) do(ctx context.Context, a ask) (got answer, err error) {
	method, path, body := http.MethodGet, "", a.value
	query, header := url.Values{}, http.Header{}
	switch a.verb {
	case "get":
		path = "/keys/" + escaped(a.key)
	case "put", "del":
		method, path = map[string]string{"put": http.MethodPut, "del": http.MethodDelete}[a.verb], "/keys/"+escaped(a.key)
		r.conditions(a, query, header)
	case "mget":
		method, path, body = http.MethodPost, "/mget", string(keyLines(a.keys))
	case "batch":
		method, path, body = http.MethodPost, "/batch", string(records(a.ops))
	case "delprefix":
		method, path = http.MethodDelete, "/keys"
		query.Set("prefix", a.key)
	case "reached":
		path = "/reached"
		query.Set("token", a.after)
	case "list":
		path, query = "/keys", httpRange(a)
	}
	if a.after != "" && a.verb != "reached" {
		header.Set("Replicator-After", a.after)
	}
	if end, ok := ctx.Deadline(); ok {
		header.Set("Replicator-Timeout", time.Until(end).String())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // it is the node that says behind
	defer cancel()
	res, err := r.send(ctx, a, method, path, query, header, body)
	if err != nil {
		return got, err
	}
	defer func() { _ = res.Body.Close() }()
	answered, err := io.ReadAll(res.Body)
	if err != nil {
		return got, err
	}
	switch a.verb {
	case "get":
		rec, err := headerRecord(a.key, answered, res.Header.Get)
		if tag := strconv.Quote(rec.Stamp.Dot().String()); err == nil && res.Header.Get("ETag") != tag {
			err = fmt.Errorf("ETag %s, not %s", res.Header.Get("ETag"), tag)
		}
		return answer{rows: []api.Record{rec}}, err
	case "put", "del":
		return putAnswer(answered)
	}
	return linesAnswer(a, answered)
}

func (httpRoad) conditions(a ask, query url.Values, header http.Header) {
	if a.ttl != 0 {
		query.Set("ttl", a.ttl.String())
	}
	if !a.expires.IsZero() {
		query.Set("expires", a.expires.Format(time.RFC3339Nano))
	}
	if a.create {
		query.Set("create_bucket", "true")
	}
	if a.absent {
		header.Set("If-None-Match", "*")
	}
	if a.at != 0 {
		header.Set("If-Match", strconv.Quote(a.ifDot.String()))
	}
}

// escaped leaves slashes as they are, as people write them.
func escaped(key string) string { return strings.ReplaceAll(url.PathEscape(key), "%2F", "/") }

func httpRange(a ask) url.Values {
	query := url.Values{}
	for name, key := range map[string]string{"prefix": a.o.prefix, "start": a.o.start, "end": a.o.end, "after": a.o.behind} {
		if key != "" {
			query.Set(name, key)
		}
	}
	if a.o.limit != 0 {
		query.Set("limit", strconv.Itoa(a.o.limit))
	}
	if a.o.reverse {
		query.Set("reverse", "true")
	}
	if a.o.keysOnly {
		query.Set("values", "false")
	}
	return query
}

// send returns an answer that is none of an error.
func (r httpRoad) send(ctx context.Context, a ask, method, path string, query url.Values, header http.Header, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.url+url.PathEscape(a.bucket)+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery, req.Header = query.Encode(), header
	res, err := r.client.Do(req)
	if err != nil || res.StatusCode == http.StatusOK {
		return res, err
	}
	defer func() { _ = res.Body.Close() }()
	var problem struct {
		Status int
		Code   string
	}
	if err := json.NewDecoder(res.Body).Decode(&problem); err != nil || problem.Status != res.StatusCode {
		return nil, fmt.Errorf("status %d with the problem %+v: %w", res.StatusCode, problem, cmpError(err, "another one"))
	}
	return nil, refusal(problem.Code)
}

func (r httpRoad) watch(ctx context.Context, a ask) iter.Seq2[api.WatchEvent, error] {
	return func(yield func(api.WatchEvent, error) bool) {
		query := url.Values{}
		for name, value := range map[string]string{
			"prefix": a.o.prefix, "resume": a.w.token,
			"from":    map[bool]string{true: "start"}[a.w.fromStart],
			"deletes": map[bool]string{true: "false"}[a.w.noDeletes],
			"values":  map[bool]string{true: "false"}[a.w.metaOnly],
		} {
			if value != "" {
				query.Set(name, value)
			}
		}
		res, err := r.send(ctx, a, http.MethodGet, "/watch", query, http.Header{}, "")
		if err != nil {
			yield(api.WatchEvent{}, err)
			return
		}
		defer func() { _ = res.Body.Close() }()
		watchLines(res.Body, yield)
	}
}
