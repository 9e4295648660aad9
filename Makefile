SEEDS ?= 2000

N ?= 1000

.PHONY: check test lint sim sim-pebble mutants chaos deep build bench bench-compare

check: ## all that CI does
	.ci/run

test:
	go test -race -shuffle=on ./...

lint:
	golangci-lint run ./...

sim: ## SEEDS histories in the simulator
	go test ./sync/simnet -run '^TestSeeds$$' -timeout 0 -v -seeds $(SEEDS)

sim-pebble: ## the same with stores on the real Pebble, on files in memory that crash
	go test ./sync/simnet -run '^TestSeeds$$' -timeout 0 -v -pebble -seeds $(SEEDS)

mutants: ## plants one bug after the other and wants each found
	go run ./sync/simnet/mutants

chaos: ## kills N real processes at random
	go test ./integration -run '^TestChaos$$' -timeout 0 -v -kills $(N)

deep: ## the long variants of all that, one after the other: hours
	.ci/deep

build:
	go build -o bin/replicator ./cmd/replicator

bench:
	go test -run '^$$' -bench . -benchmem ./...

bench-compare: ## beside the numbers of the last release; COUNT=6, a quiet machine
	.ci/bench-compare
