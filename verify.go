package replicator

import (
	"context"
	"fmt"

	"replicator/api"
	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// Verify implements api.Backend: how the bucket stands here, after an fsync, so
// that what is compared is what survives a crash.
func (n serviceBackend) Verify(ctx context.Context, bucket string, o api.VerifyOptions) ([]api.BucketDigest, error) {
	names := []string{bucket}
	if bucket == "" {
		names = n.Buckets()
	}
	if err := n.store.Sync(); err != nil {
		return nil, apiError(err)
	}
	var list []api.BucketDigest
	for _, name := range names {
		l, err := n.held(name)
		if err != nil {
			return nil, apiError(err)
		}
		d, err := l.verify(ctx, o)
		if err != nil {
			return nil, apiError(err)
		}
		list = append(list, d)
	}
	return list, nil
}

func (l *loop) verify(ctx context.Context, o api.VerifyOptions) (api.BucketDigest, error) {
	b := l.bucket
	d, clock := b.DurableState()
	out := api.BucketDigest{
		Bucket: l.name, Clock: clockText(clock), ClockHash: api.Hex(d.Clock), Ahead: api.Hex(d.Ahead), Hash: api.Hex(d.Sum),
		Keys: b.Keys(), Pure: d.Ahead == 0 || b.Pure(l.node.forgotten), Bad: b.BadRows(), Scrub: l.scrubs.status(),
	}
	switch {
	case o.Repair:
		l.node.feed(syncer.RepairNow{Bucket: l.name})
	case o.Deep:
		l.node.feed(syncer.ScrubNow{Bucket: l.name})
	}
	if !o.Sums && len(o.Parts) == 0 {
		return out, nil
	}
	snap, err := b.Snapshot()
	if err != nil {
		return out, err
	}
	if o.Sums {
		for _, sum := range snap.Sums {
			out.Sums = append(out.Sums, api.Hex(sum))
		}
	}
	out.Rows, out.More, err = rowDigests(ctx, snap, o.Parts)
	if failed := snap.Close(); err == nil {
		err = failed
	}
	return out, err
}

// rowDigests describes the rows in the parts, as many as one answer may hold.
func rowDigests(ctx context.Context, snap *store.Snapshot, parts []int) (list []api.RowDigest, more bool, err error) {
	if len(parts) == 0 {
		return nil, false, nil
	}
	var wanted [oplog.HashParts]bool
	for _, n := range parts {
		wanted[n] = true
	}
	for e, err := range snap.Parts(&wanted, nil) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, false, fmt.Errorf("rows of %d parts: %w", len(parts), err)
		}
		if e.Stamp.IsZero() {
			continue // many rows of other parts were looked at
		}
		if len(list) == api.MaxRowDigests {
			return list, true, nil
		}
		list = append(list, api.NewRowDigest(&e))
	}
	return list, false, nil
}
