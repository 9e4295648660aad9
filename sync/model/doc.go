// Package model is an executable model of the two rules of docs/protocol.md about
// origins that are written no more, I5 (ended origins) and I6 (forget), which
// Search tries in every history up to a bound.
//
// It is of the rules, not of the code: it imports nothing of this module, and
// what an engine does is a line or two here. That the code keeps the rules is for
// the simulator to find out.
package model
