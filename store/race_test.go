//go:build race

package store_test

// ioStep leaves operations out under the race detector, which makes a life
// some ten times slower. CI fails all of them without it as well.
const ioStep = 11
