// Package bus carries the bytes of a replicator node over NATS core: live
// writes and heartbeats by publish and subscribe, sync requests to one node,
// answers into the reply space of one node.
//
// It promises:
//
//   - every subject is built and parsed in one place ([Subjects]), and names
//     that could turn into wildcards or into another subject are refused;
//   - a body larger than a message travels as numbered, checked frames and is
//     delivered whole, or not at all ([Frames], [Assembler]), within caps on
//     memory that no claim of a sender can raise;
//   - a sync request can only be answered into its requester's own reply
//     space: one that names any other subject is dropped and counted;
//   - nothing is published while the connection is down: the caller gets
//     [ErrOffline] instead of a message that may leave minutes later;
//   - what may be missing is told ([Notice]): a lost connection, messages
//     dropped by a slow consumer, a refused permission.
//
// It leaves to others: what a body means, whether anything arrived (NATS core
// delivers at most once), sessions, retries and flow control between nodes. It
// neither opens nor closes the connection.
//
// One Bus belongs to one connection and one node: a Bus chains itself in front
// of the connection's error handler from Start to Close.
package bus
