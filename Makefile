# `make help` lists the targets. Every tool is pinned in a go.mod of its own.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules

GO ?= go

.PHONY: help
help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: test
test: ## Run the tests of the root module
	$(GO) test ./...

# The daily check: -short leaves out the long tests, one pass has the race detector, and lint
# is that of the root module for this system. CI runs all of test, race and lint.
.PHONY: check
check: ## Run short tests, with the race detector too, and lint of the root module: for daily work
	$(GO) test -short ./...
	$(GO) test -short -race .
	SYSTEMS=0 GO='$(GO)' tools/lint/lint.sh .

# How much of the root package's statements the tests must run, in percent.
COVER ?= 92

.PHONY: cover
cover: ## Fail if the tests of the package run less than 92 % of its statements (COVER=)
	profile=$$(mktemp); trap 'rm -f "$$profile"' EXIT; \
	$(GO) test -short -coverprofile="$$profile" . && \
	$(GO) tool cover -func="$$profile" | awk -v least='$(COVER)' ' \
		$$1 == "total:" { total = $$3 + 0 } \
		END { printf "%.1f %% of statements are covered, at least %s %% must be\n", total, least; exit total < least }'

.PHONY: race
race: ## Run the tests of the root module with the race detector
	$(GO) test -race ./...

# The tests named TestRace... repeat what once raced, a few times by default.
STRESS ?= 10000

.PHONY: stress
stress: ## Run 10,000 rounds of the race-prone tests with the race detector (STRESS=)
	$(GO) test -race -count=1 -run '^TestRace' -timeout 2h -v . -stress $(STRESS)

# The modules that are linted; gofmt takes all files.
LINT_MODULES ?= . bench bench/peers/ours bench/peers/ours-plain bench/pipe cmd/ttrpc consumers e2e example/otel hostile hostile/victim interop interop/peer internal/gentest/compilers \
	internal/gentest/genproto2020 internal/gentest/newest tools/apidiff tools/mutate tools/prose tools/protogen transports

.PHONY: lint
lint: ## Run gofmt, go vet, staticcheck and a check of the English, and go vet for other systems
	GO='$(GO)' tools/lint/lint.sh $(LINT_MODULES)

# make arch ARCHS='riscv64 ppc64le' ARCHFLAGS=-test.short; the flags are those of the test
# binaries. The longest tests are left out by default.
ARCHS ?= arm64 s390x arm
ARCHFLAGS ?=

.PHONY: arch
arch: ## Run the tests for other architectures under qemu-user (ARCHS=, ARCHFLAGS=; Linux)
	GO='$(GO)' FLAGS='$(ARCHFLAGS)' tools/arch/arch.sh $(ARCHS)

.PHONY: vet-all
vet-all: ## Run go vet for every system and architecture that Go knows (minutes)
	GO='$(GO)' tools/lint/vet-all.sh

# make wine WINE='root transports' WINEFLAGS='-run TestPing -v'
WINE ?=
WINEFLAGS ?=

.PHONY: wine
wine: ## Run the tests of Windows, named pipes and interop under Wine (WINE=, WINEFLAGS=; Linux)
	GO='$(GO)' PARTS='$(WINE)' FLAGS='$(WINEFLAGS)' tools/wine/wine.sh

.PHONY: transports
transports: ## Run the named cases over NRI's multiplexer, yamux and vsock
	cd transports && $(GO) test ./...

.PHONY: vuln
vuln: ## Run govulncheck, which needs the database at vuln.go.dev (VULNDB=)
	GO='$(GO)' tools/vuln/vuln.sh .

.PHONY: apidiff
apidiff: ## Compare the exported API with those of released versions
	$(GO) -C tools/apidiff run .

.PHONY: ttrpc
ttrpc: ## Build the command-line tool and run its tests
	CGO_ENABLED=0 $(GO) build -C cmd/ttrpc -trimpath .
	$(GO) -C cmd/ttrpc test ./...

.PHONY: demo
demo: ## Run the example: server and client over a unix socket
	$(GO) run ./example/cmd

.PHONY: generate
generate: ## Generate the checked-in code from the proto files
	$(GO) -C tools/protogen run .

.PHONY: checkgenerate
checkgenerate: ## Fail if the checked-in generated code is stale
	$(GO) -C tools/protogen run . -check

.PHONY: gentest
gentest: ## Try the generators with protoc, buf, protobuild, containerd and every release
	GO='$(GO)' internal/gentest/nested

# make bench PEERS=ours,ttrpc-v1.2.10,drpc CASES='unary-128-*' ROUNDS=3; all of
# the flags and names: bench/README.md.
PEERS ?=
CASES ?=
ROUNDS ?= 5
BENCHFLAGS ?=

.PHONY: bench
bench: ## Measure side by side with other RPC libraries (PEERS=, CASES=, ROUNDS=)
	cd bench && $(GO) run . -peers '$(PEERS)' -cases '$(CASES)' -rounds $(ROUNDS) $(BENCHFLAGS)

# make consumers CONSUMERS='nri hcsshim-0.11', CONSUMERFLAGS='-steps build' or 'test';
# with CONSUMERFLAGS=-control they have the released ttrpc. All: consumers/table.go.
CONSUMERS ?=
CONSUMERFLAGS ?=

.PHONY: consumers
consumers: ## Build and test programs that use ttrpc on this library (CONSUMERS=)
	cd consumers && $(GO) test . && $(GO) run . -consumers '$(CONSUMERS)' $(CONSUMERFLAGS)

# make e2e PAIRINGS='ours+ours ours+debian' REPEAT=5 MEMORY=0; needs Linux, root
# and Debian's apt. What it does and all of its flags: e2e/README.md.
PAIRINGS ?=
REPEAT ?= 1
MEMORY ?= 1
E2EFLAGS ?=

.PHONY: e2e
e2e: ## Run real containers on this library (PAIRINGS=, REPEAT=, MEMORY=0)
	cd e2e && $(GO) build -o build/e2e . && build/e2e $(if $(PAIRINGS),-pairings '$(PAIRINGS)') \
		-repeat $(REPEAT) -memory=$(MEMORY) $(E2EFLAGS)

# make chaos MINUTES=1.5 E2EFLAGS='-seed 7' PAIRINGS=stock+stock
.PHONY: chaos
chaos: MINUTES = 10
chaos: PAIRINGS = ours+ours
chaos: ## Strike daemons and shims while containers come and go (MINUTES=10, PAIRINGS=, E2EFLAGS=)
	cd e2e && $(GO) build -o build/e2e . && build/e2e -chaos $(MINUTES)m -pairings '$(PAIRINGS)' $(E2EFLAGS)

# make interop INTEROPFLAGS="-versions 'v1.2.*' -cases '*10000'"; the other
# flags: go -C interop run . -h.
INTEROPFLAGS ?=

.PHONY: interop
interop: ## Run the matrix of all released versions against this checkout (INTEROPFLAGS=)
	cd interop && $(GO) test . && $(GO) run . $(INTEROPFLAGS)

.PHONY: interop-rust
interop-rust: ## Run this checkout against ttrpc-rust of Debian (INTEROPFLAGS=; cargo, librust-ttrpc-dev)
	cd interop/peer-rust && cargo test --quiet --lib
	cd interop && $(GO) run . -rust $(INTEROPFLAGS)

# make hostile HOSTILEFLAGS="-attacks 'claims*,client-*' -builds ours"; the other flags
# and all attacks: hostile/README.md.
HOSTILEFLAGS ?=

.PHONY: hostile
hostile: ## Attack this library and a release, and tell the cost (HOSTILEFLAGS=; Linux)
	cd hostile && $(GO) test . && $(GO) run . $(HOSTILEFLAGS)

# make fuzz FUZZTIME=10m FUZZ='Server|Client': how long for each target, and which
# of them.
FUZZTIME ?= 30s
FUZZ ?= .

.PHONY: fuzz
fuzz: ## Fuzz each target for a while (FUZZTIME=30s, FUZZ=regexp)
	targets=$$($(GO) test -list '^Fuzz' . | grep -E '^Fuzz' | grep -E '$(FUZZ)'); \
	for target in $$targets; do \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s .; \
	done

# make mutate MUTATEFLAGS="-files '^server_' -long" or '-sample 20 -seed 7 -least 97';
# the other flags: go -C tools/mutate run . -h. All mutants take an hour or two.
MUTATEFLAGS ?= -sample 60

.PHONY: mutate
mutate: ## Change the package in one place at a time and see its tests fail (MUTATEFLAGS=)
	$(GO) -C tools/mutate run . $(MUTATEFLAGS) ../..

# make soak MINUTES=20
MINUTES ?= 1

.PHONY: soak
soak: ## Load a server with everything at once, and see that nothing is left (MINUTES=1)
	$(GO) test -count=1 -v -run '^TestSoak$$' -timeout $$(( $(MINUTES) * 2 + 5 ))m -soak $(MINUTES)m .
