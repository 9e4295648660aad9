//go:build race

package simnet_test

// defaultSeeds is smaller under the race detector, which makes a seed some
// eight times slower. CI runs the full count without it as well.
const defaultSeeds = 200
