package replicator_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"replicator"
	"replicator/api"
)

// TestReadYourWritesElsewhere: with the token of a write a reader at another node
// waits until that has it, and no longer than it wants to.
func TestReadYourWritesElsewhere(t *testing.T) {
	s, alone := startServer(t), startServer(t)
	a, dir := open(t, s.ClientURL(), short("a", "")), t.TempDir()
	b := open(t, alone.ClientURL(), short("b", dir))
	first, err := bucket(t, a).Put(t.Context(), []byte("k"), []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := bucket(t, a).Put(t.Context(), []byte("k"), []byte("2"))
	if err != nil {
		t.Fatal(err)
	}
	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for name, wait := range map[string]func(context.Context, ...replicator.Revision) error{
		"seen": bucket(t, b).WaitSeen, "durable": bucket(t, b).WaitDurable,
	} {
		err := wait(brief, first.Dot(), second.Dot())
		if e, ok := errors.AsType[*replicator.BehindError](err); !ok || e.By != 2 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s, apart: %v", name, err)
		}
	}
	if err := bucket(t, a).WaitDurable(t.Context(), second.Dot()); err != nil {
		t.Errorf("where it was written: %v", err)
	}
	closeAll(t, b)
	b = open(t, s.ClientURL(), short("b", dir))
	for range 20 { // each write is waited for from before it is made
		e, err := bucket(t, a).Put(t.Context(), []byte("k"), []byte("3"))
		if err != nil {
			t.Fatal(err)
		}
		if err := bucket(t, b).WaitSeen(t.Context(), e.Dot()); err != nil {
			t.Fatal(err)
		}
		if !has(bucket(t, b), "k", "3")() {
			t.Fatal("seen, and not there")
		}
		if err := bucket(t, b).WaitDurable(t.Context(), e.Dot()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWaitEndsWithItsNode.
func TestWaitEndsWithItsNode(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), short("a", ""))
	b := bucket(t, a)
	done := make(chan error, 1)
	go func() { done <- b.WaitSeen(context.Background(), replicator.Revision{Seq: 1}) }()
	closeAll(t, a)
	select {
	case err := <-done:
		if !errors.Is(err, replicator.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it still waits")
	}
}

// TestHoldNamesWhoIsMissing asks nodes at once and returns once enough have it.
func TestHoldNamesWhoIsMissing(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), short("a", ""))
	open(t, s.ClientURL(), short("b", ""))
	eventually(t, "a hears b", thinks(t, a, "b", "live"))
	c, err := api.NewClient(connect(t, s.ClientURL(), "client"), api.ClientOptions{Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // its connection goes too
	e, err := bucket(t, a).Put(t.Context(), []byte("k"), []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	if h := c.Hold(t.Context(), "default", []string{"a", "b"}, 2, e.Dot()); len(h.Nodes) != 2 || len(h.Missing) != 0 {
		t.Errorf("two of two: %+v", h)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if h := c.Hold(ctx, "default", []string{"a", "b", "nobody"}, 3, e.Dot()); len(h.Nodes) != 2 || h.Missing["nobody"] == nil {
		t.Errorf("with one that is not there: %+v", h)
	}
	none := e.Dot()
	none.Seq += 3
	ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if h := c.Hold(ctx, "default", []string{"a", "b"}, 1, none); len(h.Nodes) != 0 || !errors.Is(h.Missing["b"], api.ErrBehind) {
		t.Errorf("of a write that is not there: %+v", h)
	}
	got, err := c.Get(api.After(t.Context(), e.Dot()), "default", []byte("k"))
	if err != nil || string(got.Value) != "v" {
		t.Errorf("get after: %v, %v", got, err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := c.Get(api.After(ctx, none), "default", []byte("k")); !errors.Is(err, api.ErrBehind) {
		t.Errorf("get after a write that is not there: %v", err)
	}
}
