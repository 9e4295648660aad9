package store_test

import (
	"slices"
	"testing"

	"replicator/oplog"
	"replicator/store"
)

func TestPullMovesTheClockOnlyAtTheEnd(t *testing.T) {
	m, s, b := fresh(t)
	x := foreign("x")
	base := oplog.HLCAt(noon)
	e1, e2, e3 := x.entry("a", "1", base), x.entry("b", "2", base), x.entry("c", "3", base)
	token := &store.Token{Cursor: []byte("c"), Claim: oplog.Clock{x.o: 2}}
	if _, err := b.ApplyPage(noon, []oplog.Entry{e3, e1}, token); err != nil {
		t.Fatal(err)
	}
	if b.Seq(x.o) != 0 || b.Ahead()[x.o] != 3 || b.Digest().Ahead == 0 {
		t.Fatal(b.Clock(), b.Ahead())
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	m.Crash(0)
	s = open(t, m, "n1", 2)
	b, _ = s.Bucket("b")
	tok, ok, err := b.Token()
	if err != nil || !ok || string(tok.Cursor) != "c" || !tok.Claim.Equal(token.Claim) {
		t.Fatal(tok, ok, err)
	}
	apply(t, b, noon, message(e1, e2))
	if b.Seq(x.o) != 2 || b.Ahead()[x.o] != 3 {
		t.Fatal(b.Clock(), b.Ahead())
	}
	if err := b.EndPull(noon, oplog.Clock{x.o: 1}, nil); err != nil {
		t.Fatal(err)
	}
	if b.Seq(x.o) != 2 {
		t.Fatal("the clock went back: it must join")
	}
	if _, ok, _ := b.Token(); ok {
		t.Fatal("token left")
	}
	if err := b.EndPull(noon, oplog.Clock{x.o: 7}, nil); err != nil {
		t.Fatal(err)
	}
	if b.Seq(x.o) != 7 || len(b.Ahead()) != 0 || b.Digest().Ahead != 0 {
		t.Fatal(b.Clock(), b.Ahead())
	}
	check(t, b)
}

func TestTokenComesAndGoes(t *testing.T) {
	_, _, b := fresh(t)
	if _, ok, err := b.Token(); ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, tok := range []store.Token{
		{Claim: oplog.Clock{}},
		{Cursor: []byte("k"), Claim: oplog.Clock{foreign("x").o: 4, foreign("y").o: 5}},
		{Cursor: []byte("l"), Claim: oplog.Clock{foreign("x").o: 4, foreign("y").o: 5}},
		{Cursor: []byte("l"), Claim: oplog.Clock{foreign("x").o: 4}},
	} {
		if _, err := b.ApplyPage(noon, nil, &tok); err != nil {
			t.Fatal(err)
		}
		got, ok, err := b.Token()
		if err != nil || !ok || string(got.Cursor) != string(tok.Cursor) || !got.Claim.Equal(tok.Claim) {
			t.Fatal(got, ok, err)
		}
	}
	if err := b.EndPull(noon, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := b.Token(); ok {
		t.Fatal("token left")
	}
	if _, err := b.ApplyPage(noon, nil, nil); err != nil {
		t.Fatal(err)
	}
}

func TestSnapshotStreams(t *testing.T) {
	for name, kv := range kvs(t) {
		t.Run(name, func(t *testing.T) {
			b := join(t, open(t, kv, "n1", 1), "b")
			x := foreign("x")
			base := oplog.HLCAt(noon)
			e1, e2, e3 := x.entry("a", "1", base), x.entry("z", "2", base), x.entry("c", "3", base)
			apply(t, b, noon, message(e1, e2))
			if _, err := b.ApplyPage(noon, []oplog.Entry{e3}, nil); err != nil {
				t.Fatal(err)
			}
			write(t, b, noon, put("m", "1"), put("a", "2"))
			snap, err := b.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			write(t, b, noon, put("z", "later"), del("c"), put("new", "1"))
			own := snap.Origin
			for _, tt := range []struct {
				name string
				seq  func(func(oplog.Entry, error) bool)
				want []string
			}{
				{"log", snap.Log(nil), []string{"m", "a", "z", "c"}},
				{"log above", snap.Log(oplog.Clock{x.o: 2, own: 1}), []string{"a", "c"}},
				{"log above all", snap.Log(oplog.Clock{x.o: 1<<64 - 1, own: 9}), nil},
				{"rows", snap.Rows(nil, nil), []string{"a", "c", "m", "z"}},
				{"rows above", snap.Rows(oplog.Clock{x.o: 2}, nil), []string{"a", "c", "m"}},
				{"rows behind", snap.Rows(nil, []byte("c")), []string{"m", "z"}},
			} {
				if got := keys(all(t, tt.seq)); !slices.Equal(got, tt.want) {
					t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
				}
			}
			if snap.Own != 2 || snap.Clock[x.o] != 2 || snap.Ahead[x.o] != 3 || snap.Count != 4 {
				t.Errorf("%+v", snap)
			}
			if err := snap.Close(); err != nil {
				t.Fatal(err)
			}
			check(t, b)
		})
	}
}
