package store_test

import (
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// TestAmbiguousPolicies is rule M3, and C2 (b), with each policy: what is written
// in place of the put is a write of this node, as low as can be, and lasts over a
// restart; only a parked one is kept.
func TestAmbiguousPolicies(t *testing.T) {
	roads := map[string]func(t *testing.T, b *store.Bucket) store.Applied{
		"live": func(t *testing.T, b *store.Bucket) store.Applied { t.Helper(); return apply(t, b, noon, stale()) },
		"page": func(t *testing.T, b *store.Bucket) store.Applied {
			t.Helper()
			a, err := b.ApplyPage(noon, stale().Entries, nil)
			if err != nil {
				t.Fatal(err)
			}
			return a
		},
	}
	for _, policy := range []store.Policy{store.Keep, store.Delete, store.Park} {
		for name, road := range roads {
			t.Run(string(policy)+" "+name, func(t *testing.T) {
				m := store.NewMap()
				b := policyBucket(t, m, policy, 1)
				apply(t, b, noon, live(elsewhere(t)))
				if c, err := b.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil || c.Tombstones != 1 {
					t.Fatal(c, err)
				}
				guard := b.Guard()
				a := road(t, b)
				if len(a.Ambiguous) != 1 || len(a.Reissued.Entries) != 1 {
					t.Fatalf("%+v", a)
				}
				got := a.Ambiguous[0]
				if b.HLC() < got.Issued.Stamp.HLC {
					t.Error("the floor is below what was issued: a tombstone would never be collected")
				}
				if got.Received.Dot() != stale().Entries[0].Dot() || got.Issued.Stamp != a.Reissued.Entries[0].Stamp ||
					got.Issued.Stamp.HLC != guard+1 || got.Issued.Prev != got.Received.Stamp || got.Issued.Tombstone != (policy != store.Keep) {
					t.Errorf("%+v", got)
				}
				b = policyBucket(t, m, policy, 2)
				checkPolicy(t, b, policy, got)
				check(t, b)
			})
		}
	}
}

func policyBucket(t *testing.T, m *store.Map, p store.Policy, start uint64) *store.Bucket {
	t.Helper()
	s, err := store.Open(m, noon, store.Options{Node: "n1", Nonce: nonce(start), Epoch: epochs(start), Ambiguous: p})
	if err != nil {
		t.Fatal(err)
	}
	return join(t, s, "b")
}

func checkPolicy(t *testing.T, b *store.Bucket, policy store.Policy, got store.Ambiguity) {
	t.Helper()
	want := map[store.Policy]string{store.Keep: "old", store.Delete: "-", store.Park: "-"}[policy]
	if value(t, b, "gone") != want || get(t, b, "gone").Stamp != got.Issued.Stamp {
		t.Errorf("gone is %q", value(t, b, "gone"))
	}
	list := lost(t, b)
	if len(list) != map[store.Policy]int{store.Park: 1}[policy] {
		t.Fatalf("%+v are kept", list)
	}
	for _, l := range list {
		if !l.Parked || l.Entry.Dot() != got.Received.Dot() || string(l.Entry.Value) != "old" || l.Winner != got.Issued.Stamp || !l.At.Equal(noon) {
			t.Errorf("%+v", l)
		}
	}
}

// TestAmbiguousRowOfAReconcile follows the policy, too: it is this node's own.
func TestAmbiguousRowOfAReconcile(t *testing.T) {
	for _, policy := range []store.Policy{store.Keep, store.Delete, store.Park} {
		b := policyBucket(t, store.NewMap(), policy, 1)
		w := write(t, b, noon.Add(-time.Hour), put("gone", "old"))
		clock := oplog.Clock{{Node: "n1", Epoch: 77}: 1}
		a, err := b.EndReconcile(noon, store.Stretch{
			Clock: clock, GCTS: oplog.HLCAt(noon) - 1, HLC: oplog.HLCAt(noon),
			Token: store.Token{Claim: clock, Rec: &store.Reconcile{GCV: oplog.Clock{}, GCTS: oplog.HLCAt(noon) - 1}},
		}, nil)
		if err != nil || len(a.Ambiguous) != 1 || a.Ambiguous[0].Received.Stamp != w.Entries[0].Stamp {
			t.Fatalf("%s: %+v, %v", policy, a, err)
		}
		checkPolicy(t, b, policy, a.Ambiguous[0])
		check(t, b)
	}
}

func TestPoliciesHaveNames(t *testing.T) {
	for text, want := range map[string]store.Policy{"": store.Keep, "keep": store.Keep, "delete": store.Delete, "park": store.Park} {
		if got, err := store.ParsePolicy(text); got != want || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := store.ParsePolicy("drop"); err == nil {
		t.Error("a policy that is none")
	}
}
