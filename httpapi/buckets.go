package httpapi

import (
	"net/http"

	"replicator/api"
)

// A bucketList names the buckets that the node holds.
type bucketList struct {
	V       int                `json:"v"`
	Node    string             `json:"node"`
	Buckets []api.BucketStatus `json:"buckets"`
}

func (s *Server) listBuckets(w http.ResponseWriter, r *http.Request, _ target) error {
	if _, err := params(r); err != nil {
		return err
	}
	st := s.backend.Status(r.Context())
	return s.json(w, bucketList{V: 1, Node: st.Node, Buckets: st.Buckets})
}

func (s *Server) bucketInfo(w http.ResponseWriter, r *http.Request, t target) error {
	if _, err := params(r); err != nil {
		return err
	}
	info, err := s.handlers.BucketInfo(r.Context(), t.bucket)
	if err != nil {
		return err
	}
	return s.json(w, info)
}

// createBucket has the node hold a bucket; one that it holds already is fine.
func (s *Server) createBucket(w http.ResponseWriter, r *http.Request, t target) error {
	if _, err := params(r); err != nil {
		return err
	}
	ctx, cancel := s.withTimeout(r)
	defer cancel()
	res, err := s.handlers.CreateBucket(ctx, t.bucket)
	if err != nil {
		return err
	}
	return s.json(w, res)
}

// leaveBucket has this node alone give up a bucket.
func (s *Server) leaveBucket(w http.ResponseWriter, r *http.Request, t target) error {
	q, err := params(r, "now")
	if err != nil {
		return err
	}
	now, err := boolParam(q, "now")
	if err != nil {
		return err
	}
	ctx, cancel := s.withTimeout(r)
	defer cancel()
	res, err := s.handlers.LeaveBucket(ctx, t.bucket, now)
	if err != nil {
		return err
	}
	return s.json(w, res)
}

// settings tells all that is settled for buckets.
func (s *Server) settings(w http.ResponseWriter, r *http.Request, _ target) error {
	if _, err := params(r); err != nil {
		return err
	}
	return s.json(w, s.handlers.Settings())
}

// maxSettings bounds the body of settings.
const maxSettings = 16 << 10

// setBuckets replaces the settings of a name, or of a pattern.
func (s *Server) setBuckets(w http.ResponseWriter, r *http.Request, t target) error {
	if _, err := params(r); err != nil {
		return err
	}
	body, done, err := s.readBody(w, r, maxSettings)
	if err != nil {
		return err
	}
	defer done()
	set, err := api.ParseSettings(body)
	if err != nil {
		return err
	}
	return s.settle(w, r, t, set)
}

// unsetBuckets removes the settings of a name, or of a pattern.
func (s *Server) unsetBuckets(w http.ResponseWriter, r *http.Request, t target) error {
	if _, err := params(r); err != nil {
		return err
	}
	return s.settle(w, r, t, api.BucketSettings{})
}

func (s *Server) settle(w http.ResponseWriter, r *http.Request, t target, set api.BucketSettings) error {
	ctx, cancel := s.withTimeout(r)
	defer cancel()
	res, err := s.handlers.SetBuckets(ctx, t.bucket, set)
	if err != nil {
		return err
	}
	return s.json(w, res)
}
