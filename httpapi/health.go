package httpapi

import (
	"net/http"

	"replicator/api"
)

// healthz says that the process lives and answers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request, _ target) error {
	return s.answer(w, "text/plain; charset=utf-8", []byte("ok\n"))
}

// readyz says whether reads are answered; and writes, where the node takes any.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request, _ target) error {
	if !s.backend.Ready() {
		return api.ErrNotReady.With("node %s is starting or stopping", s.backend.Name())
	}
	if st := s.backend.Status(r.Context()); st.NoWrite != "" || st.Fenced != "" {
		return api.ErrNotReady.With("node %s answers reads and takes no writes", s.backend.Name())
	}
	return s.answer(w, "text/plain; charset=utf-8", []byte("ready\n"))
}

func (s *Server) status(w http.ResponseWriter, r *http.Request, _ target) error {
	if _, err := params(r); err != nil {
		return err
	}
	return s.do(w, r, api.Call{Verb: "status"})
}
