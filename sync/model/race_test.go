//go:build race

package model_test

// shallow is by how many steps the searches of a rule that holds are cut under the race
// detector: there is one goroutine, and the same without it goes deeper.
const shallow = 2
