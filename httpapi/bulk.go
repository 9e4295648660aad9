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

// batch writes records as one, and waits for those who are to have it.
func (s *Server) batch(w http.ResponseWriter, r *http.Request, t target) error {
	q, err := params(r, "wait", "timeout")
	if err != nil {
		return err
	}
	held, err := s.waitOf(q)
	if err != nil {
		return err
	}
	body, done, err := s.readBody(w, r, api.MaxBody)
	if err != nil {
		return err
	}
	res, err := s.writeBatch(r, t, body, held)
	done() // who waits for others holds no memory
	if err != nil {
		return err
	}
	if held == nil || res.Written == 0 {
		return s.json(w, res) // nobody is waited for with nothing
	}
	token, err := res.Token()
	if err != nil {
		return err
	}
	by := s.heldBy(r, t, held, token)
	return s.answerHeld(w, struct {
		api.BatchResult
		api.HeldBy
	}{res, by}, by)
}

func (s *Server) writeBatch(r *http.Request, t target, body []byte, held *wait) (api.BatchResult, error) {
	if err := s.canWait(r, t, held); err != nil {
		return api.BatchResult{}, err
	}
	ctx, cancel := s.withTimeout(r)
	defer cancel()
	return s.handlers.Batch(ctx, t.bucket, body)
}

// reached answers once this node has the writes of a token on its disk; with wait,
// once those have that it names.
func (s *Server) reached(w http.ResponseWriter, r *http.Request, t target) error {
	q, err := params(r, "token", "wait", "timeout")
	if err != nil {
		return err
	}
	held, err := s.waitOf(q)
	if err != nil {
		return err
	}
	if held != nil {
		tokens, err := api.ParseTokens(q.Get("token"))
		if err != nil {
			return errBadParam.With("%s", err)
		}
		res, err := s.held(r, t, held, tokens...)
		if err != nil {
			return err
		}
		return s.answerHeld(w, res, res.HeldBy)
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
