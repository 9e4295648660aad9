// Package replicator keeps a key-value database on every node of a fleet: each
// node writes to its own disk at any time, alone or offline, and all copies
// come to the same state over NATS.
//
// Open joins a node to the fleet over a connection that the caller brings; the
// node takes part until Close. What is promised:
//
//   - A Put or Delete that returned is on this node's disk (Durability says
//     when), and survives a crash of the process and the machine.
//   - Copies converge: two nodes with equal clocks hold equal rows.
//   - Of two writes to one key, the one with the later timestamp stays, on every
//     node. The other is lost: last writer wins.
//   - Deletes do not come back.
//
// What is not promised: a global order, compare-and-set across nodes, or
// writes of a node whose disk died before any other node had pulled them.
//
// The program in cmd/replicator wraps this package, and package embedded adds a
// NATS server to the same process for those who import it.
package replicator
