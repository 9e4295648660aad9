// Package store keeps the rows, logs, clocks and hashes of every bucket on one
// disk, together with the merge rules that decide which write stays.
//
// It promises that every change is one atomic batch: a row, its place in the
// log, the clock that covers it, the hash that counts it and the highest
// timestamp are all in the store or none of them is, whatever moment a crash
// picks. A batch is visible at once and durable after the next Sync; Durable
// and DurableSeq tell up to where that is, and nothing of the own origin may
// leave the node above them.
//
// It works over a small ordered KV: Pebble on a disk, a Map that can crash in
// tests and simulators. The first error of that KV makes the store read-only
// until the process starts again; reads go on.
//
// It knows no network and starts no loop. Who talks to whom, when to pull and
// when to sync are left to package syncer and the root package.
//
// # Layout
//
// Each table has a prefix byte; bucket ids and origin numbers are 4 bytes,
// seqs, timestamps and times 8 bytes, all big endian, so that keys sort as
// their numbers do.
//
//	01 name                      format version; self: node, nonces, epoch
//	02 origin                    node and epoch behind an origin number
//	03 bucket                    name behind a bucket id
//	04 node                      member: when it was heard, which buckets it holds, its role
//	05 name                      bucket that was left: what this node wrote there
//	10 bucket key                row
//	11 bucket origin seq         key of the row with that dot
//	12 bucket origin             clock
//	13 bucket origin             ahead
//	14 bucket origin             gcv
//	15 bucket                    meta: hlc, gcts, count of keys, count of rows
//	16 bucket part               sum of the row hashes of that part
//	17 bucket hlc key            tombstones by timestamp
//	18 bucket expiry key         rows with an expiry by time
//	19 bucket 00 / 01            cursor and claim of a running key-ordered pull
//	19 bucket 02 / 03            of a reconcile: guard, and the gate to be
//	1a bucket time origin seq    write that lost a conflict, or was parked
//	1b bucket key                verdict of a running reconcile on that key
package store
