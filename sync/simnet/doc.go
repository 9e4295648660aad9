// Package simnet is the stage on which the protocol is tried: virtual time, a
// network that loses, delays, doubles, cuts and heals, and disks that crash and
// lose what was not synced. The engine and the store rules on it are the real
// ones; the disk under the store's seam is a crashable map. So are the watches by which
// readers follow the nodes, and go on at others.
//
// A run is a function of its seed: the same seed gives the same run.
package simnet
