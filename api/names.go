package api

import "replicator/bus"

// CheckBucket says what is wrong with the name of a user's bucket, if anything.
func CheckBucket(name string) error { return bus.ValidBucket(name) }

// CheckPrefix says what is wrong with the first tokens of all subjects, if
// anything.
func CheckPrefix(prefix string) error { return bus.ValidPrefix(prefix) }

// CheckNode says what is wrong with the name of a node, if anything.
func CheckNode(name string) error { return bus.ValidNode(name) }
