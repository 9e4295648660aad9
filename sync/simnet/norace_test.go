//go:build !race

package simnet_test

const defaultSeeds = 2000
