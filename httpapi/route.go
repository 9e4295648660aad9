package httpapi

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"replicator/api"
)

// A target is what a path names: bucket and key as they are, not as they travel.
type target struct {
	bucket string
	key    []byte
}

// An action answers one method at one kind of path.
type action func(w http.ResponseWriter, r *http.Request, t target) error

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set(api.HeaderNode, s.backend.Name())
	s.pace(w, 0) // for what others write, the metrics
	if r.ContentLength != 0 {
		s.awaitBody(w, 0) // it is read to its end, by net/http, also if the request is refused
	}
	path := r.URL.EscapedPath()
	methods, t, err := s.route(path)
	if err == nil && path != "/healthz" && path != "/readyz" {
		err = s.guard(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	do := methods[r.Method]
	if do == nil && r.Method == http.MethodHead {
		do = methods[http.MethodGet] // net/http leaves the body out
	}
	if do == nil {
		w.Header().Set("Allow", strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
		s.fail(w, r, errMethod)
		return
	}
	if err := do(w, r, t); err != nil {
		s.fail(w, r, err)
	}
}

// route finds what there is at an escaped path. Keys are any bytes, slashes and dots
// among them, so nothing is cleaned: what a path says is what is meant.
func (s *Server) route(path string) (map[string]action, target, error) {
	if fixed := s.fixed(path); fixed != nil {
		return fixed, target{}, nil
	}
	if pattern, ok := strings.CutPrefix(path, "/v1/settings/"); ok {
		return s.ofSettings(pattern)
	}
	rest, ok := strings.CutPrefix(path, "/v1/buckets/")
	if !ok {
		return nil, target{}, errNoRoute
	}
	name, rest, _ := strings.Cut(rest, "/")
	what, key, keyed := strings.Cut(rest, "/")
	var t target
	var err error
	if t.bucket, err = url.PathUnescape(name); err != nil {
		return nil, t, api.ErrBadBucket.With("%s", err)
	}
	if err := api.CheckBucket(t.bucket); err != nil {
		return nil, t, api.ErrBadBucket.With("%s", err)
	}
	if keyed && what == "keys" {
		plain, err := url.PathUnescape(key)
		if err != nil {
			return nil, t, api.ErrBadKey.With("%s", err)
		}
		t.key = []byte(plain)
		return map[string]action{
			http.MethodGet: s.get, http.MethodPut: s.put, http.MethodDelete: s.del,
		}, t, nil
	}
	if methods := s.ofBucket(what); methods != nil && !keyed {
		return methods, t, nil
	}
	return nil, t, errNoRoute
}

// ofSettings finds what there is for a name or pattern of buckets.
func (s *Server) ofSettings(escaped string) (map[string]action, target, error) {
	pattern, err := url.PathUnescape(escaped)
	if err == nil {
		err = api.CheckBuckets(pattern)
	}
	if err != nil {
		return nil, target{}, api.ErrBadBucket.With("%s", err)
	}
	return map[string]action{http.MethodPut: s.setBuckets, http.MethodDelete: s.unsetBuckets}, target{bucket: pattern}, nil
}

func (s *Server) fixed(path string) map[string]action {
	get := func(do action) map[string]action { return map[string]action{http.MethodGet: do} }
	switch path {
	case "/healthz":
		return get(s.healthz)
	case "/readyz":
		return get(s.readyz)
	case "/metrics":
		return get(s.tellMetrics)
	case "/v1/status":
		return get(s.status)
	case "/v1/openapi.json":
		return get(s.openAPI)
	case "/v1/buckets":
		return get(s.listBuckets)
	case "/v1/settings":
		return get(s.settings)
	}
	return nil
}

func (s *Server) ofBucket(what string) map[string]action {
	switch what {
	case "":
		return map[string]action{http.MethodGet: s.bucketInfo, http.MethodPut: s.createBucket, http.MethodDelete: s.leaveBucket}
	case "keys":
		return map[string]action{http.MethodGet: s.list, http.MethodDelete: s.deletePrefix}
	case "watch":
		return map[string]action{http.MethodGet: s.watch}
	case "batch":
		return map[string]action{http.MethodPost: s.batch}
	case "load", "mget":
		return map[string]action{http.MethodPost: s.verb(what)}
	case "reached":
		return map[string]action{http.MethodGet: s.reached}
	}
	return nil
}
