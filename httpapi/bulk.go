package httpapi

import (
	"net/http"

	"replicator/api"
)

// linesType is JSON, one object a line.
const linesType = "application/x-ndjson"

// verb passes a body on to a verb of the API that has lines of JSON: they are the
// same on every road.
func (s *Server) verb(name string) action {
	return func(w http.ResponseWriter, r *http.Request, t target) error {
		if _, err := params(r); err != nil {
			return err
		}
		body, done, err := s.readBody(w, r, api.MaxBody)
		if err != nil {
			return err
		}
		defer done()
		return s.do(w, r, api.Call{Bucket: t.bucket, Verb: name, Header: r.Header, Body: body})
	}
}

// reached answers once this node has the writes of a token on its disk.
func (s *Server) reached(w http.ResponseWriter, r *http.Request, t target) error {
	q, err := params(r, "token")
	if err != nil {
		return err
	}
	return s.do(w, r, api.Call{Bucket: t.bucket, Verb: "reached", Body: []byte(q.Get("token"))})
}

func (s *Server) do(w http.ResponseWriter, r *http.Request, c api.Call) error {
	ctx, cancel := s.withTimeout(r)
	defer cancel()
	body, err := s.handlers.Do(ctx, c)
	if err != nil {
		return err
	}
	kind := "application/json"
	if c.Verb == "mget" {
		kind = linesType
	}
	return s.answer(w, kind, body)
}
