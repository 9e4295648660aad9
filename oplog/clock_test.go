package oplog_test

import (
	"math/bits"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"replicator/oplog"
)

// genSmallClock draws clocks over so few origins that they overlap, at times nil.
var genSmallClock = rapid.Custom(func(t *rapid.T) oplog.Clock {
	c := oplog.Clock{}
	for _, o := range []oplog.Origin{{Node: "a", Epoch: 1}, {Node: "a", Epoch: 2}, {Node: "b", Epoch: 1}} {
		if seq := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64()).Draw(t, o.String()); seq > 0 {
			c[o] = seq
		}
	}
	if len(c) == 0 && rapid.Bool().Draw(t, "nil") {
		return nil
	}
	return c
})

func joined(c, d oplog.Clock) oplog.Clock {
	j := c.Clone()
	j.Join(d)
	return j
}

func TestClockIsALattice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := genSmallClock.Draw(t, "a"), genSmallClock.Draw(t, "b"), genSmallClock.Draw(t, "c")
		for law, ok := range map[string]bool{
			"join commutes":         joined(a, b).Equal(joined(b, a)),
			"join associates":       joined(joined(a, b), c).Equal(joined(a, joined(b, c))),
			"join is idempotent":    joined(a, a).Equal(a),
			"join is an upper":      joined(a, b).GE(a) && joined(a, b).GE(b),
			"join is the least":     !c.GE(a) || !c.GE(b) || c.GE(joined(a, b)),
			"meet commutes":         a.Meet(b).Equal(b.Meet(a)),
			"meet associates":       a.Meet(b).Meet(c).Equal(a.Meet(b.Meet(c))),
			"meet is a lower":       a.GE(a.Meet(b)) && b.GE(a.Meet(b)),
			"meet is the greatest":  !a.GE(c) || !b.GE(c) || a.Meet(b).GE(c),
			"absorption":            joined(a, a.Meet(b)).Equal(a) && a.Meet(joined(a, b)).Equal(a),
			"GE is transitive":      !a.GE(b) || !b.GE(c) || a.GE(c),
			"above restores":        joined(b, a.Above(b)).Equal(joined(a, b)),
			"above empty means GE":  (len(a.Above(b)) == 0) == b.GE(a),
			"lag zero means GE":     (a.Lag(b) == 0) == a.GE(b),
			"lag counts above only": a.Lag(b) == a.Lag(b.Above(a)),
			"unfold restores":       !a.GE(b) || a.Fold(b).Unfold(b).Equal(a),
			"unfold of a part":      !a.GE(b) || joined(c, a.Above(c).Fold(b).Unfold(b)).Equal(joined(c, a)),
			"equal hash":            a.Equal(b) == (oplog.HashClock(a) == oplog.HashClock(b)),
		} {
			if !ok {
				t.Fatalf("%s: not so for a=%v b=%v c=%v", law, a, b, c)
			}
		}
		for _, made := range []oplog.Clock{joined(a, b), a.Meet(b), a.Above(b), a.Clone(), a.Fold(b), a.Fold(b).Unfold(b)} {
			for o, seq := range made {
				if seq == 0 {
					t.Fatalf("row of %v holds a zero", o)
				}
			}
		}
	})
}

func TestClockCoversUpToItsSeq(t *testing.T) {
	o, p := oplog.Origin{Node: "a", Epoch: 1}, oplog.Origin{Node: "a", Epoch: 2}
	c := oplog.Clock{o: 5}
	for d, want := range map[oplog.Dot]bool{{o, 1}: true, {o, 5}: true, {o, 6}: false, {p, 1}: false, {p, 0}: true} {
		if c.Covers(d) != want {
			t.Errorf("Covers(%v) = %v", d, !want)
		}
	}
}

func TestNilClockReadsAsEmpty(t *testing.T) {
	var none oplog.Clock
	some := oplog.Clock{{Node: "a", Epoch: 1}: 3}
	dot := oplog.Dot{Origin: oplog.Origin{Node: "a", Epoch: 1}, Seq: 1}
	switch {
	case none.Covers(dot), none.GE(some), !some.GE(none), !none.GE(none), !none.Equal(oplog.Clock{}):
		t.Error("nil clock covers something")
	case none.Lag(some) != 3, some.Lag(none) != 0:
		t.Error("nil clock lags wrongly")
	case none.Clone() == nil, len(none.Meet(some))+len(none.Above(some))+len(none.Origins()) > 0:
		t.Error("nil clock has rows")
	case oplog.HashClock(none) != oplog.ClockHash{}:
		t.Error("nil clock has a hash")
	}
	some.Join(none)
	if len(some) != 1 {
		t.Error("joining nil changed the clock")
	}
}

func TestLagSaturates(t *testing.T) {
	c := oplog.Clock{{Node: "a", Epoch: 1}: 1 << 63, {Node: "b", Epoch: 1}: 1 << 63}
	if got := oplog.Clock(nil).Lag(c); got != 1<<64-1 {
		t.Errorf("Lag = %d, want the largest number", got)
	}
}

func TestCloneIsApart(t *testing.T) {
	o := oplog.Origin{Node: "a", Epoch: 1}
	c := oplog.Clock{o: 1}
	c.Clone()[o] = 2
	if c[o] != 1 {
		t.Error("a change of the clone shows in the clock")
	}
}

func TestOriginsComeInOrder(t *testing.T) {
	want := []oplog.Origin{{Node: "a", Epoch: 1}, {Node: "a", Epoch: 2}, {Node: "aa", Epoch: 1}, {Node: "b", Epoch: 1}}
	c := oplog.Clock{want[2]: 1, want[0]: 1, want[3]: 1, want[1]: 1}
	if d := cmp.Diff(want, c.Origins()); d != "" {
		t.Error(d)
	}
}

// A hash kept by moving rows, in any order and by any detour, is the hash of
// the clock that results.
func TestMovingRowsEqualsHashing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h oplog.ClockHash
		c := oplog.Clock{}
		for range rapid.IntRange(0, 20).Draw(t, "moves") {
			o := genOrigin.Draw(t, "origin")
			to := rapid.OneOf(rapid.Just[uint64](0), genSeq).Draw(t, "to")
			h.Move(o, c[o], to)
			if c[o] = to; to == 0 {
				delete(c, o)
			}
		}
		if h != oplog.HashClock(c) {
			t.Fatalf("moved hash differs from the hash of %v", c)
		}
		var sum uint64
		for _, part := range h.Parts {
			sum += part
		}
		if sum != h.Sum {
			t.Fatalf("parts sum to %x, Sum is %x", sum, h.Sum)
		}
		for o, seq := range c {
			if got := oplog.HashClock(oplog.Clock{o: seq}); got.Parts[oplog.ClockPart(o)] != got.Sum {
				t.Fatalf("row of %v is not in part %d", o, oplog.ClockPart(o))
			}
		}
	})
}

func TestClockHashDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genClock.Draw(t, "clock")
		var h oplog.ClockHash
		for _, o := range rapid.Permutation(c.Origins()).Draw(t, "order") {
			h.Move(o, 0, c[o])
		}
		if h != oplog.HashClock(c) {
			t.Fatal("order shows in the hash")
		}
	})
}

// Parts are what spares rows the road, so origins must spread over them.
func TestClockPartsSpread(t *testing.T) {
	var used [oplog.ClockParts / 64]uint64
	for epoch := range oplog.Epoch(2000) {
		p := oplog.ClockPart(oplog.Origin{Node: "a", Epoch: epoch + 1})
		used[p/64] |= 1 << (p % 64)
	}
	n := 0
	for _, u := range used {
		n += bits.OnesCount64(u)
	}
	if n < oplog.ClockParts*9/10 {
		t.Errorf("2000 origins use %d parts of %d", n, oplog.ClockParts)
	}
}

// TestHashOfFinals: bucket, origin and seq all count, and an empty list has none.
func TestHashOfFinals(t *testing.T) {
	o, p := oplog.Origin{Node: "a", Epoch: 0x0102030405060708}, oplog.Origin{Node: "b", Epoch: 0x0102030405060708}
	seen := map[uint64]string{0: "none"}
	for name, list := range map[string]map[string]oplog.Clock{
		"one": {"orders": {o: 1}}, "other bucket": {"stock": {o: 1}}, "other seq": {"orders": {o: 2}}, "other node": {"orders": {p: 1}},
		"two": {"orders": {o: 1, p: 1}}, "in two buckets": {"orders": {o: 1}, "stock": {p: 1}},
	} {
		sum := oplog.HashFinals(list)
		if other, known := seen[sum]; known {
			t.Errorf("%s and %s have the same hash %x", name, other, sum)
		}
		seen[sum] = name
	}
	for _, empty := range []map[string]oplog.Clock{nil, {}, {"orders": nil}, {"orders": {}}} {
		if sum := oplog.HashFinals(empty); sum != 0 {
			t.Errorf("an empty list has hash %x", sum)
		}
	}
}
