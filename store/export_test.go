package store

import "time"

// SetStallLimit sets how long commits of stores opened from now on may wait.
func SetStallLimit(limit time.Duration) (restore func()) {
	was := stallLimit
	stallLimit = limit
	return func() { stallLimit = was }
}
