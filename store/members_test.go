package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"replicator/store"
)

func TestMembersSurviveARestart(t *testing.T) {
	m := store.NewMap()
	s := open(t, m, "n1", 1)
	want := []store.Member{
		{Node: "b", Heard: noon, Buckets: []string{"default", strings.Repeat("x", 64)}},
		{Node: "c", Heard: noon, Replica: true},
	}
	for _, w := range want {
		if err := s.SaveMember(store.Member{Node: w.Node, Heard: noon.Add(-1)}); err != nil {
			t.Fatal(err)
		}
		if err := s.SaveMember(w); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.Reopen()
	got, err := open(t, m, "n1", 2).Members()
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestWrongMembersAreRefused(t *testing.T) {
	_, s, _ := fresh(t)
	for _, m := range []store.Member{
		{},
		{Node: "a b"},
		{Node: "a", Buckets: []string{""}},
		{Node: "a", Buckets: []string{"a.b"}},
		{Node: "a", Buckets: make([]string, 1025)},
	} {
		if err := s.SaveMember(m); err == nil {
			t.Errorf("%+v is kept", m)
		}
	}
	if list, err := s.Members(); len(list) > 0 || err != nil {
		t.Error(list, err)
	}
}

// TestCorruptMemberIsNamed: bytes that nobody wrote are no member.
func TestCorruptMemberIsNamed(t *testing.T) {
	for _, v := range []string{"", "\x01", "\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05ab", "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		m := store.NewMap()
		s := open(t, m, "n1", 1)
		b := m.NewBatch()
		b.Set([]byte("\x04b"), []byte(v))
		if err := m.Commit(b); err != nil {
			t.Fatal(err)
		}
		var corrupt *store.CorruptError
		if _, err := s.Members(); !errors.As(err, &corrupt) {
			t.Errorf("%q is read: %v", v, err)
		}
	}
}
