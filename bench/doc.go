// Package bench measures this node's software on this machine, beside what it could be.
//
// It promises that like is compared with like: in each round every contestant does the
// same work once, one after the other, in a folder of its own, so that what drifts drifts
// for all; a figure is the median of the rounds, and a ratio is made of two such. The
// contestants are masters as users run them, a bare loop that writes the same rows
// (package bareloop), JetStream KV from a hub to a leaf (package jetkv), and Pebble and
// NATS with nothing around them. docs/adr/0012-the-bench.md says why that is fair.
//
// It leaves to others where the data lies, what is shown, and what follows from it.
package bench
