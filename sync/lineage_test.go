package syncer_test

import (
	"testing"
	"time"

	"replicator/oplog"
	syncer "replicator/sync"
)

// beatOf is a heartbeat of the n-th start of b's disk.
func beatOf(nonce, prev byte, starts uint64) *oplog.Heartbeat {
	return &oplog.Heartbeat{From: oplog.Instance{
		Node: "b", Nonce: oplog.Nonce{nonce}, Prev: oplog.Nonce{prev}, Starts: starts,
	}}
}

// TestLineage: what the starts of a peer tell of its disk.
func TestLineage(t *testing.T) {
	type heard struct {
		beat  *oplog.Heartbeat
		after time.Duration
	}
	for name, tt := range map[string]struct {
		heard []heard
		want  syncer.EventKind
	}{
		"restarts":                   {[]heard{{beatOf(1, 0, 1), 0}, {beatOf(2, 1, 2), 0}, {beatOf(3, 2, 3), 0}}, ""},
		"starts that were not heard": {[]heard{{beatOf(1, 0, 1), 0}, {beatOf(5, 4, 5), 0}}, ""},
		"a message that came late":   {[]heard{{beatOf(1, 0, 1), 0}, {beatOf(2, 1, 2), 0}, {beatOf(1, 0, 1), time.Second}, {beatOf(2, 1, 2), 0}}, ""},
		"a late one, then silence":   {[]heard{{beatOf(1, 0, 1), 0}, {beatOf(2, 1, 2), 0}, {beatOf(1, 0, 1), time.Second}, {beatOf(2, 1, 2), time.Minute}}, ""},
		"one late, the first heard":  {[]heard{{beatOf(3, 2, 3), 0}, {beatOf(2, 1, 2), time.Second}, {beatOf(3, 2, 3), time.Second}, {beatOf(3, 2, 3), time.Minute}}, ""},
		"two late, out of order":     {[]heard{{beatOf(3, 2, 3), 0}, {beatOf(1, 0, 1), time.Second}, {beatOf(2, 1, 2), time.Second}, {beatOf(3, 2, 3), time.Minute}}, ""},
		"an older disk, for now":     {[]heard{{beatOf(5, 4, 5), 0}, {beatOf(9, 3, 4), 0}, {beatOf(9, 3, 4), 9 * time.Second}}, ""},
		"an older disk":              {[]heard{{beatOf(5, 4, 5), 0}, {beatOf(9, 3, 4), 0}, {beatOf(9, 3, 4), 10 * time.Second}, {beatOf(9, 3, 4), time.Hour}}, syncer.EventRestored},
		"a new disk":                 {[]heard{{beatOf(5, 4, 5), 0}, {beatOf(9, 0, 1), 0}, {beatOf(9, 0, 1), time.Minute}, {beatOf(9, 0, 1), time.Minute}}, syncer.EventRestored},
		"a copy":                     {[]heard{{beatOf(5, 4, 5), 0}, {beatOf(9, 4, 6), 0}, {beatOf(9, 4, 6), time.Minute}}, syncer.EventRestored},
		"two that beat in turn":      {[]heard{{beatOf(1, 0, 1), 0}, {beatOf(2, 1, 2), time.Second}, {beatOf(1, 0, 1), 6 * time.Second}, {beatOf(2, 1, 2), 6 * time.Second}, {beatOf(1, 0, 1), 6 * time.Second}}, syncer.EventCloned},
		"two that both run":          {[]heard{{beatOf(1, 0, 1), 0}, {beatOf(2, 1, 2), 0}, {beatOf(1, 0, 1), time.Minute}}, syncer.EventCloned},
		"peers that do not count":    {[]heard{{beatOf(5, 4, 0), 0}, {beatOf(9, 3, 0), 0}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			var told []syncer.EventKind
			for _, h := range tt.heard {
				b.now = b.now.Add(h.after)
				told = append(told, raised(b.hear("b", h.beat))...)
			}
			if tt.want == "" && len(told) > 0 || tt.want != "" && (len(told) != 1 || told[0] != tt.want) {
				t.Errorf("told %v, want %q", told, tt.want)
			}
		})
	}
}

func raised(list []syncer.Action) (kinds []syncer.EventKind) {
	for _, a := range list {
		if r, ok := a.(syncer.Raise); ok {
			kinds = append(kinds, r.Kind)
		}
	}
	return kinds
}

// TestClonesAreToldOfOnceAnHour: twins beat in turn, for days perhaps.
func TestClonesAreToldOfOnceAnHour(t *testing.T) {
	b := newBench(t)
	told := 0
	for range 100 {
		for n := byte(1); n <= 2; n++ {
			b.now = b.now.Add(time.Minute)
			told += len(raised(b.hear("b", beatOf(n, 0, 1))))
		}
	}
	if told < 3 || told > 4 {
		t.Errorf("told %d times in 200 minutes", told)
	}
}

// TestOwnWritesThatAreMissing: a donor that has more of this node's own writes
// than its disk tells that the disk is another one.
func TestOwnWritesThatAreMissing(t *testing.T) {
	own := oplog.Origin{Node: "a", Epoch: 3}
	for name, tt := range map[string]struct {
		claim, ahead oplog.Clock
		want         bool
	}{
		"none":   {oplog.Clock{own: 5, origin: 9}, oplog.Clock{origin: 12}, false},
		"some":   {oplog.Clock{own: 6}, nil, true},
		"extras": {oplog.Clock{}, oplog.Clock{own: 6}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.store.clock[own] = 5
			s := b.pulls()
			told := raised(b.hear("", &oplog.Begin{Session: s, Clock: tt.claim, Ahead: tt.ahead}))
			if (len(told) == 1 && told[0] == syncer.EventRestored) != tt.want {
				t.Errorf("told %v", told)
			}
		})
	}
}

// TestTwinDrawsANewEpoch: it may be the same memory image, resumed twice.
func TestTwinDrawsANewEpoch(t *testing.T) {
	b := newBench(t)
	twin := &oplog.Live{Bucket: "orders", Origin: oplog.Origin{Node: "a", Epoch: 3}, First: 1, Last: 1, Nonce: oplog.Nonce{77}}
	if _, ok := find[syncer.NewEpoch](b.hear("a", twin)); !ok {
		t.Error("goes on with its epoch")
	}
	if _, again := find[syncer.NewEpoch](b.hear("a", twin)); again {
		t.Error("draws a new one for each message")
	}
}
