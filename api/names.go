package api

import "replicator/bus"

// CheckBucket says what is wrong with the name of a user's bucket, if anything.
func CheckBucket(name string) error { return bus.ValidBucket(name) }

// CheckNode says what is wrong with the name of a node, if anything.
func CheckNode(name string) error { return bus.ValidNode(name) }
