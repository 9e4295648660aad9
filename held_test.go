package replicator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"replicator"
	"replicator/api"
)

// TestWaitHeld: a write is waited for by those who are to have it, and who lacks it is
// named.
func TestWaitHeld(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), short("a", ""))
	open(t, s.ClientURL(), short("b", ""))
	c := open(t, s.ClientURL(), short("c", ""))
	for _, name := range []string{"b", "c"} {
		eventually(t, "a hears "+name, thinks(t, a, name, "live"))
	}
	ba := bucket(t, a)
	eventually(t, "all are known to hold the bucket", func() bool {
		e := put(t, ba, "k", "first")
		_, err := ba.WaitHeld(t.Context(), "3", e.Dot())
		return err == nil
	})
	for who, most := range map[string]int{"all": 3, "3": 3, "2": 3, "50%": 3, "1": 3, "a": 1, "c,b": 2} {
		e := put(t, ba, "k", who)
		h, err := ba.WaitHeld(t.Context(), who, e.Dot())
		if err != nil || len(h.Nodes) < h.Wanted || len(h.Nodes) > most {
			t.Errorf("%s: %+v, %v", who, h, err)
		}
		for _, name := range h.Nodes {
			if name == "c" && !has(bucket(t, c), "k", who)() {
				t.Errorf("%s: c is said to have it, and has not", who)
			}
		}
	}
	e := put(t, ba, "k", "v")
	if _, err := ba.WaitHeld(t.Context(), "4", e.Dot()); !errors.Is(err, api.ErrTooFew) {
		t.Errorf("more than there are: %v", err)
	}
	for _, bad := range []string{"", "0", "a b", "101%"} {
		if _, err := ba.WaitHeld(t.Context(), bad, e.Dot()); err == nil || !strings.Contains(err.Error(), "wait for") {
			t.Errorf("%q: %v", bad, err)
		}
	}

	if _, err := ba.WaitHeld(t.Context(), "all"); err == nil {
		t.Error("of nothing")
	}

	none := e.Dot()
	none.Seq += 3
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := ba.WaitHeld(ctx, "all", none)
	var missing *replicator.NotHeldError
	if !errors.As(err, &missing) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("of a write that is not there: %v", err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if !errors.Is(missing.Held.Missing[name], api.ErrBehind) {
			t.Errorf("%s: %v", name, missing.Held.Missing[name])
		}
	}

	closeAll(t, c)
	e = put(t, ba, "k", "without c")
	h, err := ba.WaitHeld(t.Context(), "all", e.Dot())
	if !errors.As(err, &missing) || missing.Cause != nil || !strings.Contains(err.Error(), "disks of c: only on 2 of 3") {
		t.Errorf("c has stopped: %v", err)
	}
	if slices.Sort(h.Nodes); !slices.Equal(h.Nodes, []string{"a", "b"}) || h.Missing["c"] == nil {
		t.Errorf("c has stopped: %+v", h)
	}
	if _, err := ba.WaitHeld(t.Context(), "2", e.Dot()); err != nil {
		t.Errorf("two of three: %v", err)
	}
}

// TestWaitHeldAlone: a node that reaches nobody has its own disk, once it has.
func TestWaitHeldAlone(t *testing.T) {
	s := startServer(t)
	cfg := short("a", "")
	cfg.Durability = replicator.DurabilityInterval
	a := open(t, s.ClientURL(), cfg)
	s.Shutdown()
	e := put(t, bucket(t, a), "k", "v")
	if h, err := bucket(t, a).WaitHeld(t.Context(), "all", e.Dot()); err != nil || !slices.Equal(h.Nodes, []string{"a"}) {
		t.Errorf("%+v, %v", h, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if h, err := bucket(t, a).WaitHeld(ctx, "a,b", e.Dot()); err == nil || h.Missing["b"] == nil || len(h.Nodes) != 1 {
		t.Errorf("with one it cannot reach: %+v, %v", h, err)
	}
}

// TestWaitHeldEndsWithItsNode: also while others are asked, and without a deadline.
func TestWaitHeldEndsWithItsNode(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), short("a", ""))
	open(t, s.ClientURL(), short("b", ""))
	eventually(t, "a hears b", thinks(t, a, "b", "live"))
	b := bucket(t, a)
	e := put(t, b, "k", "v")
	none := e.Dot()
	none.Seq++
	done := make(chan error, 1)
	go func() { _, err := b.WaitHeld(context.Background(), "b", none); done <- err }()
	time.Sleep(50 * time.Millisecond) // whether it has asked by then or not, it ends
	closeAll(t, a)
	select {
	case err := <-done:
		if !errors.Is(err, replicator.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(3 * time.Second): // b would say that it is behind after 4.5 s
		t.Error("it still waits")
	}
}
