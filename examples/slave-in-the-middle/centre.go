package main

import (
	"context"
	"errors"
	"fmt"

	"replicator"
)

// addUp tells what all shops make. It keeps nothing: a watch from the start begins
// with the totals that there are, then a mark, then each that changes.
func addUp(ctx context.Context, b *replicator.Bucket) error {
	totals, whole := map[string]total{}, false
	for change, err := range b.Watch(ctx, replicator.WatchOptions{Prefix: []byte("total/"), FromStart: true, IgnoreDeletes: true}) {
		if errors.Is(err, replicator.ErrWiped) {
			return addUp(ctx, b) // the replica fills itself anew
		} else if err != nil {
			return err
		}
		if change.Mark != nil {
			whole = true
		} else {
			t, err := parse(change.Entry.Value)
			if err != nil {
				return err
			}
			totals[string(change.Entry.Key)] = t
		}
		if whole {
			fmt.Printf("%d shops: %v\n", len(totals), sum(totals))
		}
	}
	return nil
}

func sum(totals map[string]total) (all total) {
	for _, t := range totals {
		all = total{all.sales + t.sales, all.sum + t.sum}
	}
	return all
}
