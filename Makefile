# Each target is one command that a person could type. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: run test build bench lint race chaos sim mutants fuzz golden screenshot bench-images help

# What the binaries are made of: make run builds only when one of these is newer.
SOURCES := $(shell find *.go go.mod go.sum client cmd handlers internal store tasks web -type f -not -name '*_test.go' -not -path '*/testdata/*' 2>/dev/null)

run: bin/millrace ## start everything on this machine: http://127.0.0.1:8080 (make run ARGS="--addr 127.0.0.1:9000")
	@exec bin/millrace serve $(ARGS)

bin/millrace: $(SOURCES)
	@scripts/build millrace
	@touch $@

build: ## build bin/millrace, bin/api, bin/worker and bin/scheduler
	@scripts/build

test: ## find or install what the tests need, lint, build, run all tests (.ci/run: none skipped)
	@scripts/test

lint: ## gofmt, go vet, staticcheck
	@scripts/lint

race: ## the tests alone, with the race detector
	go test -race -tags nodynamic -timeout 30m -p 2 ./...

chaos: ## break running servers for CHAOS_MINUTES (15), by CHAOS_SEED where one is given; docs/reliability.md says how to read it
	CHAOS_MINUTES=$${CHAOS_MINUTES:-15} go test -tags nodynamic -count=1 -timeout 600m -v -run TestLongFaults ./chaos

bench: ## all benchmarks
	go test -run '^$$' -bench . -benchmem -p 1 ./...

bench-images: ## photographs resized over HTTP, beside BullMQ with sharp (ROUNDS=5 PHOTOS=dir)
	@scripts/bench-images

sim: ## the dispatch under a virtual clock and seeded faults (make sim SIM_SEEDS=10000 SIM_FROM=1)
	SIM_SEEDS=$(or $(SIM_SEEDS),1000) SIM_FROM=$(or $(SIM_FROM),1) go test -tags exact -ldflags=-checklinkname=0 -timeout 6h -count=1 -v -run TestSeeds ./internal/sim

mutants: ## take rules out of the ledger, one at a time: the simulation must notice each
	go test -tags mutants -timeout 6h -count=1 -v -run TestMutants ./internal/sim

fuzz: ## every fuzz target for FUZZTIME each (30s)
	@scripts/fuzz

golden: ## write the golden files anew
	@scripts/golden

screenshot: ## make the README's picture anew
	dir=$$(mktemp -d) && MILLRACE_SCREENSHOTS=$$dir go test ./e2e -run 'TestPage$$/light' -count=1 && cp $$dir/resize-light.png docs/screenshot.png

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
