// Command replicator runs a node, and speaks to running ones.
//
// It promises exit codes and output that scripts can rely on, one clear line
// for every error, and that a flag beats the environment, which beats the
// settings file. What a node does is the root package's, what travels between
// it and the commands is package api's.
package main
