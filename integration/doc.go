// Package integration holds no code: its tests start the real program as people
// do, over real NATS and real disks, and break what can break.
//
// Every test ends in converged: verify says equal, and the exports of all nodes
// are byte-equal. What was acknowledged to a client stands in its ledger, and
// every node has to hold it, or what beat it.
//
// Three sizes:
//
//	go test -short ./integration               some hundreds of records, no waiting
//	go test ./integration                      all records where shared/ is beside the repository, some minutes
//	REPLICATOR_LONG=1 go test ./integration    a million keys, a hub down for a minute; add -timeout 60m
//
// Tests need no more than Go. What they can use is skipped with a plain message
// where it is missing: the nats CLI, Node.js with npm and its registry, curl, the
// right to mount a small tmpfs. In CI the programs have to be there.
// They listen on loopback only, and end only the processes they started.
package integration
