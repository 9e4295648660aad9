package oplog_test

import (
	"testing"

	"pgregory.net/rapid"

	"replicator/oplog"
)

// genStamp draws from so few stamps that equal parts are common.
var genStamp = rapid.Custom(func(t *rapid.T) oplog.Stamp {
	small := rapid.Uint64Range(0, 2)
	return oplog.Stamp{
		HLC:    oplog.HLC(small.Draw(t, "hlc")),
		Origin: oplog.Origin{Node: rapid.SampledFrom([]string{"", "a", "ab", "b"}).Draw(t, "node"), Epoch: small.Draw(t, "epoch")},
		Seq:    small.Draw(t, "seq"),
	}
})

func TestStampOrderGoesByTimeNodeEpochSeq(t *testing.T) {
	at := func(hlc oplog.HLC, node string, epoch oplog.Epoch, seq oplog.Seq) oplog.Stamp {
		return oplog.Stamp{HLC: hlc, Origin: oplog.Origin{Node: node, Epoch: epoch}, Seq: seq}
	}
	ascending := []oplog.Stamp{
		{},
		at(1, "", 0, 1), at(1, "a", 1, 1), at(1, "a", 1, 2), at(1, "a", 2, 1), at(1, "a", 1<<63, 1), at(1, "aa", 0, 0),
		at(1, "b", 0, 0), at(2, "a", 1, 1), at(1<<63, "a", 1, 1), at(1<<64-1, "a", 1, 1),
	}
	for i := range ascending {
		for j := range ascending {
			s, u := ascending[i], ascending[j]
			if s.Less(u) != (i < j) {
				t.Errorf("%v.Less(%v) = %v", s, u, s.Less(u))
			}
		}
	}
}

func TestStampOrderIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := genStamp.Draw(t, "a"), genStamp.Draw(t, "b"), genStamp.Draw(t, "c")
		if a.Compare(b) != -b.Compare(a) {
			t.Fatalf("not antisymmetric: %v %v", a, b)
		}
		if (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("equal in order but not in fact: %v %v", a, b)
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatalf("not transitive: %v %v %v", a, b, c)
		}
		if a.IsZero() != (a == oplog.Stamp{}) || b.Less(oplog.Stamp{}) {
			t.Fatalf("something is before the zero stamp: %v %v", a, b)
		}
	})
}

func TestStampString(t *testing.T) {
	s := oplog.Stamp{HLC: 65537, Origin: oplog.Origin{Node: "paris", Epoch: 0xabc}, Seq: 7}
	if got, want := s.String(), "0000000000010001@paris/0000000000000abc:7"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	if got, want := s.Dot().String(), "paris/0000000000000abc:7"; got != want {
		t.Errorf("Dot() = %q, want %q", got, want)
	}
}
