package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"replicator/api"
	"replicator/oplog"
)

// A wait is for members that are to have a write on their disks.
type wait struct {
	who   api.Quorum
	limit time.Duration
}

// waitTime is how long members are waited for, unless the request says.
const waitTime = 30 * time.Second

// waitOf reads wait and timeout; nil: nobody is waited for.
func (s *Server) waitOf(q url.Values) (*wait, error) {
	w := &wait{limit: min(waitTime, s.opts.Timeout)}
	if !q.Has("wait") {
		if q.Has("timeout") {
			return nil, errBadParam.With("timeout goes with wait")
		}
		return nil, nil
	}
	var err error
	if w.who, err = api.ParseQuorum(q.Get("wait")); err != nil {
		return nil, errBadParam.With("wait %q: %s", clip(q.Get("wait")), err)
	}
	if text := q.Get("timeout"); q.Has("timeout") {
		if w.limit, err = time.ParseDuration(text); err != nil || w.limit <= 0 {
			return nil, errBadParam.With("timeout %q: want a time above 0, as 5s", clip(text))
		}
		w.limit = min(w.limit, s.opts.Timeout)
	}
	return w, nil
}

// canWait refuses a write that too few members could have, before it is written.
func (s *Server) canWait(r *http.Request, t target, w *wait) error {
	if w == nil {
		return nil
	}
	return s.handlers.CanHold(r.Context(), t.bucket, w.who)
}

// held waits for the members. It ends with the time, the client, or the server.
func (s *Server) held(r *http.Request, t target, w *wait, tokens ...oplog.Dot) (api.HeldResult, error) {
	ctx, cancel := context.WithTimeout(r.Context(), w.limit)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	return s.handlers.Held(ctx, t.bucket, w.who, tokens...)
}

// heldBy is held for a write that is done: whatever comes now, it was written.
func (s *Server) heldBy(r *http.Request, t target, w *wait, token oplog.Dot) api.HeldBy {
	res, err := s.held(r, t, w, token)
	if err != nil {
		return api.HeldBy{Reached: []string{}, Missing: map[string]string{}, NotAsked: api.AsError(err).Text}
	}
	return res.HeldBy
}

// answerHeld answers with v, which tells what by says: 202 if it is not enough.
func (s *Server) answerHeld(w http.ResponseWriter, v any, by api.HeldBy) error {
	status := http.StatusOK
	if !by.Enough {
		status = http.StatusAccepted
	}
	return s.jsonAs(w, status, v)
}
