# Everything a fresh machine with Go and make needs: make bench, make test.

GO      ?= go
BUILD    = $(GO) build -buildvcs=auto -trimpath
# A number of inputs, not a time: where a time runs out while a worker is busy, go
# test reports "context deadline exceeded" as a failure of the target.
FUZZTIME ?= 20000x
VERDICTS ?= -repeat 20
# The end-to-end tests measure time: they run alone, and not under the race
# detector. They run programs that go test does not know of: -count=1, or an old
# pass would stand for a new program.
E2E      = ./internal/e2e
REST     = $$($(GO) list ./... | grep -v /internal/e2e)

.DEFAULT_GOAL := help
.PHONY: help build test lint race fuzz bench bench-peers verdicts scale server-cost server-scale check deps example

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## compile bin/loadgen and bin/reference-server
	$(BUILD) -o bin/ ./cmd/...

bench: build ## start the reference server, run every file in scenarios/, write reports/latest/
	bin/loadgen bench

bench-peers: ## measure loadgen beside k6, vegeta, hey, wrk and autocannon (10 min; PEERS='-streams 500,2000')
	$(GO) test -run '^$$' -bench '^BenchmarkPeers$$' -benchtime 1x -timeout 60m ./internal/peers -args $(PEERS)

verdicts: ## 20 runs inside this machine's envelope, 20 past it: VALID every time, VALID never (VERDICTS='-repeat 20')
	$(GO) test -count=1 -v -timeout 60m -run '^TestVerdicts$$' $(E2E) -args $(VERDICTS)

scale: ## hold 19,000 streams, then 19,000 sockets, in one process (4 min; needs 20,000 descriptors)
	$(GO) test -run '^$$' -bench '^Benchmark(Streams|Sockets)$$' -benchtime 1x -timeout 10m $(E2E)

server-cost: ## CPU of a million events and deliveries of the reference server beside bare handlers (4 min)
	$(GO) test -run '^$$' -bench '^Benchmark(StreamCost|Deliveries)$$' -benchtime 1x -timeout 20m $(E2E)

server-scale: ## hold 18,000 streams, then 18,000 sockets, then 6,000 of each, in one reference server (5 min)
	$(GO) test -run '^$$' -bench '^Benchmark(OpenStreams|ServerSockets|StreamsAndSockets)$$' -benchtime 1x -timeout 20m $(E2E)

test: deps ## run every test; real browser, databases and processes included
	$(GO) test -timeout 5m $(REST)
	$(GO) test -count=1 -parallel 4 -timeout 8m $(E2E)

race: ## run every test but the end-to-end ones under the race detector
	$(GO) test -race -timeout 9m $(REST)

lint: ## go vet and golangci-lint, pinned in go.mod
	$(GO) vet ./...
	$(GO) tool golangci-lint run

fuzz: ## fuzz each parser for FUZZTIME (default 20000x; a time such as 1m works too)
	@GO="$(GO)" FUZZTIME="$(FUZZTIME)" .ci/fuzz

check: build lint test race fuzz ## build, lint, test, race and fuzz: what CI runs

example: build ## write reports/example/ anew from a short run
	.ci/example

deps:
	@.ci/deps
