// Package bareloop is the least code that does on disk and network what a pair of
// masters does: the yardstick of replicator bench.
//
// It promises to be honest. Byte for byte it writes the rows that package store
// writes, which a test compares, into a Pebble that is set up alike; it reads the row
// of each key before it replaces it; it stamps and hashes; writers share a commit
// group and its fsync; one message a group goes through the broker; what is merged is
// synced at most once in 25 ms; a catch-up comes page by page from one snapshot, each
// with a token, acknowledged through the broker.
//
// It leaves to the product all that makes it one: it judges nothing it reads, keeps
// nothing that lost, knows only puts, no deletes, expiries, types or conditions, no gaps, handshakes, forks,
// limits or failing disks, and tells no watcher. It must never hold what somebody
// wants to keep.
package bareloop
