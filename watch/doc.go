// Package watch decides what the readers of a bucket are told. A hub tells them of
// changes in the order in which those took effect, own ones once they are on disk. A
// reader has a position, which is a clock: from there he goes on when he was too slow,
// at another node, or after a restart, by what he reads from the store's log.
//
// It starts no goroutine and knows no time of its own, so that the simulator runs it
// as production does. At which pace a reader reads is up to who uses it.
package watch
