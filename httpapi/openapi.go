package httpapi

import (
	_ "embed"
	"net/http"
)

// openAPIDocument describes every request for programs.
//
//go:embed openapi.json
var openAPIDocument []byte

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request, _ target) error {
	return s.answer(w, "application/json", openAPIDocument)
}
