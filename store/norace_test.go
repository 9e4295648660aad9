//go:build !race

package store_test

const ioStep = 1
