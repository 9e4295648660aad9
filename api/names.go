package api

import "replicator/bus"

// CheckBucket says what is wrong with the name of a user's bucket, if anything.
func CheckBucket(name string) error { return bus.ValidBucket(name) }

// CheckBuckets says what is wrong with a name of users' buckets, or with a * at its end
// of all whose names begin so, if anything.
func CheckBuckets(pattern string) error { return bus.ValidBuckets(pattern) }

// Among reports whether such a pattern names the bucket.
func Among(pattern, bucket string) bool { return bus.Among(pattern, bucket) }

// CheckPrefix says what is wrong with the first tokens of all subjects, if
// anything.
func CheckPrefix(prefix string) error { return bus.ValidPrefix(prefix) }

// CheckNode says what is wrong with the name of a node, if anything.
func CheckNode(name string) error { return bus.ValidNode(name) }
