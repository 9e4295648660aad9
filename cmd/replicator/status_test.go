package main

import (
	"testing"

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
