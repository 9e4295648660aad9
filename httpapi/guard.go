package httpapi

import (
	"context"
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"replicator/api"
)

// guard refuses who may not ask. Without a token whoever reaches the port may, so
// the names a browser could be led here by are held to those of the loopback.
func (s *Server) guard(r *http.Request) error {
	if !ownOrigin(r) {
		return errOrigin
	}
	if s.opts.Token == "" {
		if !loopback(hostOf(r.Host)) {
			return errHost
		}
		return nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || subtle.ConstantTimeCompare([]byte(strings.TrimSpace(token)), []byte(s.opts.Token)) != 1 {
		return errToken
	}
	return nil
}

// ownOrigin reports whether no page asks, or one that this server may have served.
func ownOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

func hostOf(hostPort string) string {
	if host, _, err := net.SplitHostPort(hostPort); err == nil {
		return host
	}
	return strings.Trim(hostPort, "[]")
}

// withTimeout bounds how long a request is worked on.
func (s *Server) withTimeout(r *http.Request) (context.Context, context.CancelFunc) {
	limit := s.opts.Timeout
	if d, err := time.ParseDuration(r.Header.Get(api.HeaderTimeout)); err == nil && d > 0 {
		limit = min(limit, d)
	}
	return context.WithTimeout(r.Context(), limit)
}
