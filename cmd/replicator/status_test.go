package main

import (
	"strings"
	"testing"
	"time"

	"replicator/api"
)

func TestPeerStateIsSaidInWords(t *testing.T) {
	some, none := uint64(3), uint64(0)
	for want, tc := range map[string]struct {
		peer    api.BucketPeer
		stopped bool
	}{
		"stopped":                 {api.BucketPeer{}, true},
		"silent":                  {api.BucketPeer{InSync: true}, false},
		"in sync":                 {api.BucketPeer{Live: true, InSync: true, Behind: &none}, false},
		"3 of its writes missing": {api.BucketPeer{Live: true, Behind: &some}, false},
		"not in sync":             {api.BucketPeer{Live: true, Behind: &none}, false},
	} {
		if got := peerState(tc.peer, tc.stopped); got != want {
			t.Errorf("%+v is %q, want %q", tc.peer, got, want)
		}
	}
}

func TestWhatWaitsIsSaidInWords(t *testing.T) {
	for _, tc := range []struct {
		doubt         api.Doubt
		listed, state string
	}{
		{
			api.Doubt{Nodes: []string{"a", "b"}, Removes: 2, Rows: 3},
			"node c, bucket orders: 2 of 3 rows would go, which a or b has no more", "reconcile waits: 2 of 3 rows would go",
		},
		{
			api.Doubt{Nodes: []string{}, Removes: 3, Rows: 3, Empties: true},
			"replica c, bucket orders: all of its 3 rows would go, and be fetched again; no master is known to have them all", "waits to be emptied",
		},
	} {
		if w := (&waiting{Node: "c", Bucket: "orders", Doubt: tc.doubt}); w.String() != tc.listed {
			t.Errorf("listed as %q", w)
		}
		var out strings.Builder
		writeBucket(&out, api.Status{}, &api.BucketStatus{Name: "orders", Doubt: &tc.doubt}, time.Now())
		if !strings.Contains(out.String(), tc.state) {
			t.Errorf("status is %q, want %q", out.String(), tc.state)
		}
	}
}
