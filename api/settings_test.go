package api_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"replicator/api"
)

// TestSettle: a bucket's own settings come first, then those of the longest pattern,
// field by field.
func TestSettle(t *testing.T) {
	all := map[string]api.BucketSettings{
		"*":        {Durability: "interval", Ambiguous: "park", Create: []string{"a"}},
		"orders-*": {Durability: "sync", DefaultTTL: api.Span(time.Hour)},
		"or*":      {DefaultTTL: api.Span(time.Minute), CollectAfter: api.Span(time.Minute)},
		"orders-1": {Create: []string{"b"}},
	}
	for bucket, want := range map[string]api.BucketSettings{
		"orders-1": {Durability: "sync", DefaultTTL: api.Span(time.Hour), CollectAfter: api.Span(time.Minute), Ambiguous: "park", Create: []string{"b"}},
		"orders":   {Durability: "interval", DefaultTTL: api.Span(time.Minute), CollectAfter: api.Span(time.Minute), Ambiguous: "park", Create: []string{"a"}},
		"stock":    {Durability: "interval", Ambiguous: "park", Create: []string{"a"}},
	} {
		if got := api.Settle(all, bucket); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", bucket, got, want)
		}
	}
	if got := api.Settle(nil, "x"); !got.IsZero() || !got.MayCreate("any") {
		t.Errorf("where nothing is settled: %+v", got)
	}
}

// TestBucketsOverNATS: what Go gives goes to the node as it is, and comes back.
func TestBucketsOverNATS(t *testing.T) {
	f, c, _ := pair(t)
	if _, err := c.CreateBucket(t.Context(), "orders"); err != nil || f.rows["orders"] == nil {
		t.Errorf("create: %v", err)
	}
	if _, err := c.CreateBucket(t.Context(), "a.b"); !errors.Is(err, api.ErrBadBucket) {
		t.Errorf("create of a bad name: %v", err)
	}
	if _, err := c.LeaveBucket(t.Context(), "a", "orders", false); !errors.Is(err, api.ErrNotHandedOver) {
		t.Errorf("leave: %v", err)
	}
	if _, err := c.LeaveBucket(t.Context(), "a", "orders", true); err != nil || f.rows["orders"] != nil {
		t.Errorf("leave now: %v", err)
	}
	want := api.BucketSettings{Durability: "sync", DefaultTTL: api.Span(90 * time.Minute), Create: []string{"a", "b"}}
	all, err := c.SetBuckets(t.Context(), "def*", want)
	if err != nil || !reflect.DeepEqual(all["def*"], want) {
		t.Errorf("settled is %+v, %v", all, err)
	}
	if all, err = c.Settings(t.Context()); err != nil || !reflect.DeepEqual(all["def*"], want) {
		t.Errorf("told is %+v, %v", all, err)
	}
	info, err := c.BucketInfo(t.Context(), "default")
	if err != nil || !reflect.DeepEqual(info.Settings, want) || info.Keys != 2 {
		t.Errorf("info is %+v, %v", info, err)
	}
	if _, err := c.BucketInfo(t.Context(), "none"); !errors.Is(err, api.ErrNoBucket) {
		t.Errorf("info of none: %v", err)
	}
	for body, code := range map[string]error{
		`{"v":1,"buckets":"x","settings":{"durability":"maybe"}}`:      api.ErrBadRequest,
		`{"v":1,"buckets":"x","settings":{"unknown":1}}`:               api.ErrBadRequest,
		`{"v":1,"buckets":"x","settings":{"default_ttl":"soon"}}`:      api.ErrBadRequest,
		`{"v":1,"buckets":"*x","settings":{}}`:                         api.ErrBadBucket,
		`{"v":1,"buckets":"x","settings":{"default_ttl":3600000000}}`:  api.ErrBadRequest,
		`{"v":1,"buckets":"x","settings":{"create":["` + "\n" + `"]}}`: api.ErrBadRequest,
		`[`: api.ErrBadRequest,
	} {
		_, err := api.NewHandlers(f).Do(t.Context(), api.Call{Bucket: "_fleet", Verb: "bucketset", Body: []byte(body)})
		if !errors.Is(err, code) {
			t.Errorf("%s: %v", body, err)
		}
	}
}
