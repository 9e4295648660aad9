// Package syncer is the agreement between masters: heartbeats, handshake, pull
// and live, as one deterministic state machine.
//
// An Engine decides and does nothing else. It is fed events and answers with
// actions: messages to send, entries to merge, snapshots to read. It starts no
// goroutine and knows no clock, NATS or Pebble, so that a simulator drives the
// very code that runs in production. What it promises is the protocol in
// docs/protocol.md; merging itself is package store's, carrying out actions is
// the root package's.
package syncer
