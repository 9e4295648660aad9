package api_test

import (
	"errors"
	"testing"
	"time"

	"replicator/api"
	"replicator/oplog"
)

// lostWrite is one as a node keeps it, with bytes that are no text.
func lostWrite(seq oplog.Seq, key, value string) api.Lost {
	stamp := func(node string, seq oplog.Seq) oplog.Stamp {
		return oplog.Stamp{HLC: oplog.HLCAt(time.Unix(1700000000, 0)), Origin: oplog.Origin{Node: node, Epoch: 7}, Seq: seq}
	}
	return api.Lost{
		Entry:  oplog.Entry{Key: []byte(key), Value: []byte(value), Stamp: stamp("a", seq)},
		At:     time.UnixMilli(1700000000123),
		Winner: stamp("z", seq+100),
	}
}

func TestConflictsAreListedShownAndTaken(t *testing.T) {
	f, c, _ := pair(t)
	f.lost = []api.Lost{lostWrite(1, "k1", "v\xff"), lostWrite(2, "k\xfe", "")}
	for _, node := range []string{"", "a"} {
		var seen []api.Lost
		for l, err := range c.Conflicts(t.Context(), node, "default") {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, l)
		}
		if len(seen) != 2 {
			t.Fatalf("of node %q: %+v", node, seen)
		}
		for i, l := range seen {
			want := f.lost[i]
			if l.Entry.Dot() != want.Entry.Dot() || string(l.Entry.Key) != string(want.Entry.Key) || l.Winner != want.Winner ||
				!l.At.Equal(want.At) || l.Node != "a" || l.Size != len(want.Entry.Value) || l.Entry.Value != nil {
				t.Errorf("listed as %+v, is %+v", l, want)
			}
		}
	}
	dot := f.lost[0].Entry.Dot()
	l, err := c.Conflict(t.Context(), "", "default", dot)
	if err != nil || string(l.Entry.Value) != "v\xff" {
		t.Errorf("show: %+v, %v", l, err)
	}
	if _, err := c.TakeConflict(t.Context(), "", "default", dot); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), "default", []byte("k1")); err != nil || string(got.Value) != "v\xff" {
		t.Errorf("after take: %q, %v", got.Value, err)
	}
	_, showErr := c.Conflict(t.Context(), "", "default", dot)
	_, takeErr := c.TakeConflict(t.Context(), "", "default", dot)
	if !errors.Is(showErr, api.ErrNotFound) || !errors.Is(takeErr, api.ErrNotFound) {
		t.Errorf("once it is taken: show %v, take %v", showErr, takeErr)
	}
}
