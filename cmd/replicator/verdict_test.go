package main

import (
	"strings"
	"testing"
	"time"

	"replicator/api"
)

func digests(node string, clock map[string]uint64, ahead, hash string) api.NodeDigests {
	return api.NodeDigests{Node: node, Buckets: []api.BucketDigest{{Bucket: "b", Clock: clock, Ahead: ahead, Hash: hash}}}
}

func TestVerdict(t *testing.T) {
	full := map[string]uint64{"a/1": 5, "b/1": 2}
	less := map[string]uint64{"a/1": 3, "b/1": 2}
	for name, tt := range map[string]struct {
		all  []api.NodeDigests
		want state
		text string
	}{
		"one node":          {[]api.NodeDigests{digests("a", full, "0", "h")}, equal, "a: 0 keys, hash h"},
		"equal":             {[]api.NodeDigests{digests("a", full, "0", "h"), digests("b", full, "0", "h")}, equal, ""},
		"behind":            {[]api.NodeDigests{digests("a", full, "0", "h"), digests("b", less, "0", "i")}, behind, "b: 0 keys, hash i, 2 writes behind"},
		"extras":            {[]api.NodeDigests{digests("a", full, "0", "h"), digests("b", full, "7", "i")}, behind, ""},
		"unlike extras":     {[]api.NodeDigests{digests("a", full, "7", "h"), digests("b", full, "7", "i")}, behind, ""},
		"divergent":         {[]api.NodeDigests{digests("a", full, "0", "h"), digests("b", full, "0", "i")}, divergent, ""},
		"worst of three":    {[]api.NodeDigests{digests("a", full, "0", "h"), digests("b", full, "0", "i"), digests("c", less, "0", "j")}, divergent, ""},
		"not held yet":      {[]api.NodeDigests{digests("a", full, "0", "h"), {Node: "b"}}, behind, "b: does not hold it yet"},
		"not meant to hold": {[]api.NodeDigests{digests("a", full, "0", "h"), {Node: "b", Joins: []string{"other"}}}, equal, ""},
		"nothing anywhere":  {[]api.NodeDigests{{Node: "a"}, {Node: "b"}}, equal, ""},
	} {
		v := compare(tt.all)
		var lines []string
		for _, b := range v.Buckets {
			for _, n := range b.Nodes {
				lines = append(lines, n.String())
			}
		}
		if v.State != tt.want || !strings.Contains(strings.Join(lines, "\n"), tt.text) {
			t.Errorf("%s: %s, %q", name, v.State, lines)
		}
	}
	for s, code := range map[state]int{equal: 0, behind: 4, divergent: 5} {
		if s.exitCode() != code {
			t.Errorf("%s: %d", s, s.exitCode())
		}
	}
}

// TestSilentMembersAreNamed: copies that nobody can compare are not proven equal.
func TestSilentMembersAreNamed(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	member := func(node, state string, heard time.Time, buckets ...string) api.MemberStatus {
		return api.MemberStatus{Node: node, State: state, LastHeard: heard, Buckets: buckets}
	}
	known := []api.Status{
		{Members: []api.MemberStatus{
			member("a", "live", late, "b"), member("gone", "left", late, "b"), member("old", "evicted", early, "b"),
			member("down", "overdue", early, "b"), member("forgotten", "overdue", early, "b"), member("else", "stopped", late, "other"),
		}},
		{Members: []api.MemberStatus{member("forgotten", "forgotten", late, "b"), member("down", "live", late, "b")}},
	}
	for bucket, want := range map[string]string{"": "down live, else stopped", "b": "down live", "nowhere": ""} {
		v := compare([]api.NodeDigests{digests("a", map[string]uint64{"a/1": 5}, "0", "h")})
		v.silence(known, bucket)
		var got []string
		for _, n := range v.Silent {
			got = append(got, n.Node+" "+n.State)
		}
		if code := v.exitCode(); strings.Join(got, ", ") != want || (code == exitDone) != (want == "") {
			t.Errorf("bucket %q: %q, exit code %d", bucket, got, code)
		}
	}
	v := verdict{State: divergent, Silent: []silentNode{{Node: "x"}}}
	if v.exitCode() != exitDivergent {
		t.Errorf("divergent, and a silent member: %d", v.exitCode())
	}
}

func TestUnsyncedLooksAtPeersThatAreThere(t *testing.T) {
	now := time.Now()
	st := func(p api.BucketPeer, catching bool) api.Status {
		return api.Status{
			Node:    "a",
			Buckets: []api.BucketStatus{{Name: "b", CatchingUp: catching, Peers: []api.BucketPeer{p}}},
			Peers:   []api.PeerStatus{{Node: "leaving", Stopping: true}},
		}
	}
	for name, tt := range map[string]struct {
		st     api.Status
		bucket string
		want   bool
	}{
		"in sync":      {st(api.BucketPeer{Node: "x", InSync: true, LastSeen: now}, false), "", false},
		"behind":       {st(api.BucketPeer{Node: "x", LastSeen: now}, false), "", true},
		"catching up":  {st(api.BucketPeer{Node: "x", InSync: true, LastSeen: now}, true), "b", true},
		"gone":         {st(api.BucketPeer{Node: "x", LastSeen: now.Add(-time.Hour)}, false), "", false},
		"stopped":      {st(api.BucketPeer{Node: "leaving", LastSeen: now}, false), "", false},
		"other bucket": {st(api.BucketPeer{Node: "x", LastSeen: now}, true), "c", false},
	} {
		if err := unsynced(tt.st, tt.bucket, now); (err != nil) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
