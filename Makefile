SEEDS ?= 2000

.PHONY: check test lint sim mutants build bench

check: ## all that CI does
	.ci/run

test:
	go test -race -shuffle=on ./...

lint:
	golangci-lint run ./...

sim: ## SEEDS runs of the simulator
	go test ./sync/simnet -run TestSeeds -seeds $(SEEDS)

mutants: ## plants one bug after the other and wants each found
	go run ./sync/simnet/mutants

build:
	go build -o bin/replicator ./cmd/replicator

bench:
	go test -run '^$$' -bench . -benchmem ./...
