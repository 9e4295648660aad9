//go:build !race

package model_test

const shallow = 0
