package replicator

import (
	"context"
	"time"

	"replicator/api"
)

// answerMargin is how long before a request's deadline the node gives up, so that
// its answer still reaches who waits.
const answerMargin = 500 * time.Millisecond

// Leave implements api.Backend.
func (n serviceBackend) Leave(ctx context.Context, now bool) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-answerMargin))
		defer cancel()
	}
	return apiError(n.Node.Leave(ctx, now))
}

// Forget implements api.Backend.
func (n serviceBackend) Forget(ctx context.Context, node string, force bool) error {
	if node == n.Name() {
		return api.ErrBadRequest.With("node %s cannot forget itself; have it leave, or ask another node", node)
	}
	return apiError(n.Node.Forget(ctx, node, force))
}

// Readmit implements api.Backend.
func (n serviceBackend) Readmit(ctx context.Context, node string) error {
	return apiError(n.Node.Readmit(ctx, node))
}

// Collect implements api.Backend.
func (n serviceBackend) Collect(ctx context.Context, bucket string, age time.Duration) ([]api.BucketCollected, error) {
	names := []string{bucket}
	if bucket == "" {
		names = n.Buckets()
	}
	list := []api.BucketCollected{}
	for _, name := range names {
		gone, err := n.Node.Collect(ctx, name, age)
		if err != nil {
			return nil, apiError(err)
		}
		list = append(list, api.BucketCollected{Bucket: name, Rows: gone})
	}
	return list, nil
}

// CreateBucket implements api.Backend. A replica may hold what masters have made.
func (n serviceBackend) CreateBucket(_ context.Context, bucket string) error {
	_, err := n.Node.CreateBucket(bucket)
	return apiError(err)
}

// LeaveBucket implements api.Backend.
func (n serviceBackend) LeaveBucket(ctx context.Context, bucket string, now bool) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-answerMargin))
		defer cancel()
	}
	return apiError(n.Node.LeaveBucket(ctx, bucket, now))
}

// SetBuckets implements api.Backend.
func (n serviceBackend) SetBuckets(ctx context.Context, pattern string, s api.BucketSettings) error {
	return apiError(n.Node.SetBuckets(ctx, pattern, s))
}
