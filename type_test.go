package replicator_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"replicator"
	"replicator/api"
	"replicator/oplog"
)

// TestTypeOfAValue: it goes with the value over the wire, in watches, through a batch
// and a conflict, and a write that only changes it is a change.
func TestTypeOfAValue(t *testing.T) {
	for _, codec := range []oplog.Codec{oplog.Msgpack, oplog.JSON} {
		t.Run(string(codec), func(t *testing.T) {
			s, apart := startServer(t), startServer(t)
			a := open(t, s.ClientURL(), replicator.Config{Node: "a", Codec: codec})
			ba, png := bucket(t, a), replicator.PutOptions{Type: "image/png"}
			putTyped(t, ba, "early", png)
			dir := t.TempDir()
			b := open(t, s.ClientURL(), replicator.Config{Node: "b", Dir: dir, Codec: codec})
			bb := bucket(t, b)
			eventually(t, "b pulls it", isOf(bb, "early", "image/png"))

			seen := watch(t, bb, replicator.WatchOptions{})
			putTyped(t, ba, "live", png)
			if ev := seen.take(t); ev.Entry.Type != "image/png" {
				t.Errorf("a watch tells %+v", ev.Entry)
			}
			ops := []replicator.Op{{Key: []byte("batch"), PutOptions: png}, {Key: []byte("live"), Delete: true, PutOptions: png}}
			if _, err := ba.Batch(t.Context(), ops...); err != nil {
				t.Fatal(err)
			}
			eventually(t, "b has the batch", isOf(bb, "batch", "image/png"))

			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			b = open(t, apart.ClientURL(), replicator.Config{Node: "b", Dir: dir, Codec: codec})
			lost := putTyped(t, bucket(t, b), "both", replicator.PutOptions{Type: "text/b"})
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			putTyped(t, ba, "both", replicator.PutOptions{Type: "text/a"})
			bb = bucket(t, open(t, s.ClientURL(), replicator.Config{Node: "b", Dir: dir, Codec: codec}))
			eventually(t, "the later one stays", isOf(bb, "both", "text/a"))
			eventually(t, "the other is kept, and taken back", func() bool {
				_, err := bb.TakeConflict(t.Context(), lost.Dot())
				return err == nil
			})
			eventually(t, "a has it, as it was", isOf(ba, "both", "text/b"))
		})
	}
}

func putTyped(tb testing.TB, b *replicator.Bucket, key string, o replicator.PutOptions) replicator.Entry {
	tb.Helper()
	e, err := b.PutWith(tb.Context(), []byte(key), []byte("value"), o)
	if err != nil || e.Type != o.Type {
		tb.Fatalf("put %s: of type %q, %v", key, e.Type, err)
	}
	return e
}

func isOf(b *replicator.Bucket, key, kind string) func() bool {
	return func() bool {
		e, err := b.Get(context.Background(), []byte(key))
		return err == nil && e.Type == kind
	}
}

func TestBadTypeIsRefused(t *testing.T) {
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a"})
	for _, bad := range []string{strings.Repeat("x", 256), "text/html\r\nA: b", "t\u00e9xt"} {
		_, err := bucket(t, a).PutWith(t.Context(), []byte("k"), nil, replicator.PutOptions{Type: bad})
		if refused, ok := errors.AsType[*replicator.TypeError](err); !ok || refused.Type != bad {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

// TestSkippedUnlessTheTypeChanges: a load that leaves alone what is the same.
func TestSkippedUnlessTheTypeChanges(t *testing.T) {
	a := open(t, startServer(t).ClientURL(), replicator.Config{Node: "a"})
	for i, tt := range []struct {
		kind string
		same bool
	}{{"", false}, {"", true}, {"text/x", false}, {"text/x", true}, {"", false}} {
		op := api.WriteOp{Key: []byte("k"), Value: []byte("v"), Type: tt.kind}
		res, err := a.API().Write(t.Context(), "default", []api.WriteOp{op}, api.WriteOptions{SkipUnchanged: true})
		if err != nil || res[0].Unchanged != tt.same {
			t.Errorf("%d: %+v, %v", i, res, err)
		}
	}
}
