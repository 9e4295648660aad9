package jetkv_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"replicator/internal/jetkv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMirrorGetsWhatTheHubHas(t *testing.T) {
	for _, always := range []bool{false, true} {
		t.Run(fmt.Sprintf("always=%v", always), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			p, err := jetkv.Start(ctx, jetkv.Options{Dir: t.TempDir(), Always: always})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			}()
			ok := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			ok(p.Fill(ctx, 1000, func(i int) (string, []byte) { return fmt.Sprintf("key-%d", i), []byte("value") }))
			ok(p.Mirror(ctx))
			ok(p.Await(ctx))
			ok(p.DropMirror(ctx))
			ok(p.Mirror(ctx))
			ok(p.Await(ctx))

			told := make(chan string, 10)
			stop, err := p.Watch(ctx, func(key string, value []byte) { told <- key + "=" + string(value) })
			ok(err)
			defer stop()
			kv, done, err := p.Client(ctx)
			ok(err)
			defer done()
			_, err = kv.Put(ctx, "colour", []byte("red"))
			ok(err)
			select {
			case got := <-told:
				if got != "colour=red" {
					t.Error(got)
				}
			case <-ctx.Done():
				t.Error("the leaf is told of nothing")
			}
			ok(p.Await(ctx))
		})
	}
}
