package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"replicator"
)

// A total is stored as text.
type total struct{ sales, sum int }

func (t total) String() string { return fmt.Sprintf("%d sales make %d", t.sales, t.sum) }

func parse(text []byte) (t total, err error) {
	_, err = fmt.Sscanf(string(text), "%d sales make %d", &t.sales, &t.sum)
	return t, err
}

// sell goes on where the shop's own disk says that it was: nobody else writes its keys.
// (Who gives it a new disk waits for `replicator wait --in-sync` before it sells.)
func sell(ctx context.Context, b *replicator.Bucket, shop string, last int) error {
	var t total
	row, err := b.Get(ctx, []byte("total/"+shop))
	if err == nil {
		t, err = parse(row.Value)
	}
	if err != nil && !errors.Is(err, replicator.ErrNotFound) {
		return err
	}
	for fmt.Println(t); t.sales < last && ctx.Err() == nil; fmt.Println(t) {
		time.Sleep(100 * time.Millisecond)
		price := 1 + rand.IntN(1000)
		t = total{t.sales + 1, t.sum + price}
		// Both or none, whenever the machine may stop, and on every node.
		sale := replicator.Op{Key: fmt.Appendf(nil, "%s/sales/%06d", shop, t.sales), Value: fmt.Append(nil, price)}
		if _, err := b.Batch(ctx, sale, replicator.Op{Key: []byte("total/" + shop), Value: []byte(t.String())}); err != nil {
			return err
		}
	}
	<-ctx.Done() // open, so that the others can fetch what they lack
	return nil
}
