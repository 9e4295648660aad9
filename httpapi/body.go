package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"replicator/api"
)

// bodyCost is what a byte of a body costs in memory: itself, and what is made of
// it before the store has it.
const bodyCost = 3

// readBody reads a body of at most limit bytes. The caller calls done when it needs
// it no more. A body that does not tell its length is counted as the largest.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, done func(), err error) {
	size := r.ContentLength
	if size < 0 {
		size = limit
	}
	if size > limit {
		return nil, nil, api.ErrTooLarge.With("the body has %d bytes, the limit is %d", size, limit)
	}
	cost := min(size*bodyCost, s.opts.BodyBytes)
	if !s.bodies.TryAcquire(cost) {
		return nil, nil, api.ErrOverloaded.With("other requests take all memory there is for bodies")
	}
	done = func() { s.bodies.Release(cost) }
	if body, err = s.take(w, r, limit, size); err != nil {
		done()
		return nil, nil, err
	}
	return body, done, nil
}

func (s *Server) take(w http.ResponseWriter, r *http.Request, limit, size int64) ([]byte, error) {
	s.awaitBody(w, size)
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := body.ReadFrom(io.LimitReader(r.Body, limit+1))
	switch {
	case err != nil:
		return nil, api.ErrBadRequest.With("the body ended early, or came too slowly: %s", err)
	case n > limit:
		return nil, api.ErrTooLarge.With("the body has more than %d bytes", limit)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // or it would end the request's context
	return body.Bytes(), nil
}

// slowest is how many bytes a second a client has to send, or take.
const slowest = 64 << 10

func (s *Server) allowance(size int64) time.Time {
	return time.Now().Add(s.opts.Pace + time.Duration(size/slowest)*time.Second)
}

// awaitBody gives the client some time for its body. If that ends, so does the
// connection.
func (s *Server) awaitBody(w http.ResponseWriter, size int64) {
	_ = http.NewResponseController(w).SetReadDeadline(s.allowance(size)) // not on a recorder
}

// write sends the rest of an answer. Who does not take it in time, or is gone, is
// left: the connection is cut, which says that it was not all.
func (s *Server) write(w http.ResponseWriter, body []byte) {
	s.pace(w, len(body))
	_, _ = w.Write(body)
}

// pace gives the client some time for what is written next.
func (s *Server) pace(w http.ResponseWriter, size int) {
	_ = http.NewResponseController(w).SetWriteDeadline(s.allowance(int64(size))) // not on a recorder
}
