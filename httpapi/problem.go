package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	"replicator/api"
)

// A problem is an error as RFC 9457 has it. The code is that of the API, stable on
// every road.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// The errors that only HTTP has.
var (
	errNoRoute  = &api.Error{Code: "no_route", Status: http.StatusNotFound, Text: "there is nothing at this path"}
	errMethod   = &api.Error{Code: "method", Status: http.StatusMethodNotAllowed, Text: "the method does not belong there"}
	errToken    = &api.Error{Code: "unauthorized", Status: http.StatusUnauthorized, Text: "want the header Authorization: Bearer TOKEN"}
	errHost     = &api.Error{Code: "host", Status: http.StatusMisdirectedRequest, Text: "the Host is no name of this machine's loopback; from elsewhere a token is wanted"}
	errOrigin   = &api.Error{Code: "origin", Status: http.StatusForbidden, Text: "pages of other origins may not ask here"}
	errNotSure  = &api.Error{Code: "precondition", Status: http.StatusBadRequest, Text: "If-Match takes one revision in quotes, If-None-Match takes *"}
	errBadParam = &api.Error{Code: api.ErrBadRequest.Code, Status: http.StatusBadRequest, Text: "bad parameter"}
)

// fail answers with an error. The headers of what would have been the answer go.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := api.AsError(err)
	if e.Code == api.ErrInternal.Code {
		s.opts.Logger.WarnContext(r.Context(), "request failed", "method", r.Method, "path", clip(r.URL.Path), "error", err)
	}
	h := w.Header()
	for _, name := range []string{"ETag", "Content-Length", api.HeaderExpiry, api.HeaderHLC, api.HeaderOrigin, api.HeaderSeq} {
		h.Del(name)
	}
	switch e.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="replicator"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	body, _ := json.Marshal(problemOf(e)) // strings and a number always marshal
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	s.pace(w, len(body))
	w.WriteHeader(e.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // who is gone need not hear it
	}
}

func problemOf(e *api.Error) problem {
	title := http.StatusText(e.Status)
	if title == "" {
		title = e.Code
	}
	return problem{Type: "about:blank", Title: title, Status: e.Status, Code: e.Code, Detail: e.Text}
}

// clip keeps foreign text short enough for a line of a log.
func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
