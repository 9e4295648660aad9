package replicator

import "sync"

// A queue hands values from the engine's loop, which must never wait, to one
// loop that takes all there are. It is bounded by who fills it: the engine
// limits by bytes what it lets wait for a store.
type queue[T any] struct {
	mu    sync.Mutex // guards items
	items []T
	wake  chan struct{} // holds one token while items may be there
}

func newQueue[T any]() *queue[T] { return &queue[T]{wake: make(chan struct{}, 1)} }

func (q *queue[T]) put(v ...T) {
	q.mu.Lock()
	q.items = append(q.items, v...)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns all items; they are the caller's.
func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	return items
}
