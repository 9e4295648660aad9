package httpapi

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"replicator/api"
	"replicator/oplog"
)

// get answers the bytes of a value; who wrote it is in the headers.
func (s *Server) get(w http.ResponseWriter, r *http.Request, t target) error {
	if _, err := params(r); err != nil {
		return err
	}
	ctx, cancel := s.withTimeout(r)
	defer cancel()
	e, err := s.handlers.Get(ctx, t.bucket, t.key, r.Header.Get(api.HeaderAfter))
	if err != nil {
		return err
	}
	h := w.Header()
	tag := etag(e.Dot())
	h.Set("ETag", tag)
	h.Set(api.HeaderOrigin, e.Stamp.Origin.String())
	h.Set(api.HeaderSeq, strconv.FormatUint(e.Stamp.Seq, 10))
	h.Set(api.HeaderHLC, e.Stamp.HLC.String())
	if e.Expiry != 0 {
		h.Set(api.HeaderExpiry, time.UnixMilli(e.Expiry).UTC().Format(time.RFC3339Nano))
	}
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", cmp.Or(e.Type, "application/octet-stream"))
	h.Set("Content-Security-Policy", valuePolicy)
	h.Set("Content-Length", strconv.Itoa(len(e.Value)))
	s.write(w, e.Value)
	return nil
}

// valuePolicy keeps a browser that is shown a value, which may say that it is a
// page, from running it as one of this origin: it could ask for anything here.
const valuePolicy = "sandbox; default-src 'none'"

// formType is what curl says of every body of which it is not told what it is. To
// keep that would be a lie, so it counts as not said.
const formType = "application/x-www-form-urlencoded"

// typeOf reads what the body is.
func typeOf(h http.Header) (string, error) {
	said := h.Values(api.HeaderType)
	switch {
	case len(said) > 1:
		return "", errBadParam.With("%d headers Content-Type, want one at most", len(said))
	case len(said) == 0 || strings.EqualFold(said[0], formType):
		return "", nil
	}
	return said[0], nil
}

// put writes the body under the key.
func (s *Server) put(w http.ResponseWriter, r *http.Request, t target) error {
	q, err := params(r, "ttl", "expires", "create_bucket", "wait", "timeout")
	if err != nil {
		return err
	}
	op := api.WriteOp{Key: t.key}
	if op.Expiry, err = expiryOf(q, time.Now()); err != nil {
		return err
	}
	if op.If, err = condition(r.Header, true); err != nil {
		return err
	}
	if op.Type, err = typeOf(r.Header); err != nil {
		return err
	}
	create, err := boolParam(q, "create_bucket")
	if err != nil {
		return err
	}
	held, err := s.waitOf(q)
	if err != nil {
		return err
	}
	value, done, err := s.readBody(w, r, oplog.MaxValue)
	if err != nil {
		return err
	}
	op.Value = value
	res, err := s.writeOne(r, t, op, api.WriteOptions{CreateBucket: create}, held)
	done() // who waits for others holds no memory
	if err != nil {
		return err
	}
	return s.answerWrite(w, r, t, res, held)
}

func (s *Server) del(w http.ResponseWriter, r *http.Request, t target) error {
	q, err := params(r, "wait", "timeout")
	if err != nil {
		return err
	}
	cond, err := condition(r.Header, false)
	if err != nil {
		return err
	}
	held, err := s.waitOf(q)
	if err != nil {
		return err
	}
	res, err := s.writeOne(r, t, api.WriteOp{Key: t.key, Delete: true, If: cond}, api.WriteOptions{}, held)
	if err != nil {
		return err
	}
	return s.answerWrite(w, r, t, res, held)
}

func (s *Server) writeOne(r *http.Request, t target, op api.WriteOp, o api.WriteOptions, held *wait) (api.PutResult, error) {
	if err := s.canWait(r, t, held); err != nil {
		return api.PutResult{}, err
	}
	ctx, cancel := s.withTimeout(r)
	defer cancel()
	return s.handlers.Write(ctx, t.bucket, op, o)
}

// answerWrite tells which write it was, and waits for those who are to have it.
func (s *Server) answerWrite(w http.ResponseWriter, r *http.Request, t target, res api.PutResult, held *wait) error {
	token, err := res.Token()
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(token))
	if held == nil {
		return s.json(w, res)
	}
	by := s.heldBy(r, t, held, token)
	return s.answerHeld(w, struct {
		api.PutResult
		api.HeldBy
	}{res, by}, by)
}

// deletePrefix deletes the keys under a prefix. It has to be named: a request that
// lacks it by mistake deletes nothing.
func (s *Server) deletePrefix(w http.ResponseWriter, r *http.Request, t target) error {
	q, err := params(r, "prefix", "after")
	if err != nil {
		return err
	}
	if !q.Has("prefix") {
		return errBadParam.With("want a prefix; an empty one means all keys")
	}
	ctx, cancel := s.withTimeout(r)
	defer cancel()
	res, err := s.handlers.DeletePrefix(ctx, t.bucket, []byte(q.Get("prefix")), []byte(q.Get("after")))
	if err != nil {
		return err
	}
	return s.json(w, res)
}

// etag is the revision of a row, in quotes.
func etag(d oplog.Dot) string { return `"` + d.String() + `"` }

// condition reads If-Match and If-None-Match as one on the row that this node has.
func condition(h http.Header, mayCreate bool) (api.Condition, error) {
	match, none := h.Values("If-Match"), h.Values("If-None-Match")
	switch {
	case len(match) == 0 && len(none) == 0:
		return api.Condition{}, nil
	case len(match) == 0 && len(none) == 1 && none[0] == "*" && mayCreate:
		return api.Condition{Absent: true}, nil
	case len(match) != 1 || len(none) > 0:
		return api.Condition{}, errNotSure
	}
	text, ok := strings.CutPrefix(match[0], `"`)
	text, closed := strings.CutSuffix(text, `"`)
	dot, err := oplog.ParseDot(text)
	if !ok || !closed || err != nil || dot.Seq == 0 {
		return api.Condition{}, errNotSure.With("%s, not %q", errNotSure.Text, clip(match[0]))
	}
	return api.Condition{Revision: dot}, nil
}

// expiryOf reads ttl or expires.
func expiryOf(q url.Values, now time.Time) (int64, error) {
	switch ttl, expires := q.Get("ttl"), q.Get("expires"); {
	case ttl != "" && expires != "":
		return 0, errBadParam.With("ttl and expires at once")
	case ttl != "":
		d, err := time.ParseDuration(ttl)
		if err != nil || d <= 0 {
			return 0, errBadParam.With("ttl %q: want a time above 0, as 30m", clip(ttl))
		}
		return max(now.Add(d).UnixMilli(), now.UnixMilli()+1), nil
	case expires != "":
		at, err := time.Parse(time.RFC3339, expires)
		if err != nil {
			return 0, errBadParam.With("expires %q: want RFC 3339, as 2030-01-02T15:04:05Z", clip(expires))
		}
		if at.UnixMilli() <= now.UnixMilli() {
			return 0, errBadParam.With("expires %q is past; DELETE deletes", clip(expires))
		}
		return at.UnixMilli(), nil
	}
	return 0, nil
}

// params reads the query, and refuses what is not known there: a mistyped limit is
// no limit.
func params(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errBadParam.With("query: %s", clip(err.Error()))
	}
	for name, values := range q {
		if len(values) > 1 {
			return nil, errBadParam.With("parameter %s twice", clip(name))
		}
		if !slices.Contains(known, name) {
			return nil, errBadParam.With("unknown parameter %q%s", clip(name), listOf(known))
		}
	}
	return q, nil
}

func listOf(known []string) string {
	if len(known) == 0 {
		return ", there are none here"
	}
	return "; known are: " + strings.Join(known, ", ")
}

func boolParam(q url.Values, name string) (bool, error) {
	if !q.Has(name) {
		return false, nil
	}
	b, err := strconv.ParseBool(q.Get(name))
	if err != nil {
		return false, errBadParam.With("%s: want true or false", name)
	}
	return b, nil
}

// json answers with a value that package api has made.
func (s *Server) json(w http.ResponseWriter, v any) error { return s.jsonAs(w, http.StatusOK, v) }

func (s *Server) jsonAs(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.answerAs(w, status, "application/json", body)
}

func (s *Server) answer(w http.ResponseWriter, kind string, body []byte) error {
	return s.answerAs(w, http.StatusOK, kind, body)
}

func (s *Server) answerAs(w http.ResponseWriter, status int, kind string, body []byte) error {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	s.write(w, body)
	return nil
}
