// Package oplog holds the words that masters speak: node, origin, seq, stamp,
// clock and entry, together with the messages built from them and the two
// codecs, msgpack and JSON, that put a message on a wire.
//
// It promises that decoding is safe on hostile bytes: sizes are checked before
// anything is read, counts are checked against the bytes that are left, and no
// input makes it panic or allocate more than a small multiple of its length.
//
// It does no I/O, starts no goroutine and knows no rule of merging beyond the
// order of stamps. Keeping entries is store's work, agreeing on them is
// package syncer's.
package oplog
