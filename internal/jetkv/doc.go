// Package jetkv runs JetStream KV as somebody would who wants what replicator gives: a
// bucket at a hub and a mirror of it at a leaf, two real nats-servers in this process.
//
// It promises the servers' own defaults but for what is asked for: a folder, no port
// that others know, and when the disk is synced. It leaves to others what is put in and
// what is measured.
package jetkv
