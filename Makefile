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

.PHONY: demo
demo: ## Run the example: server and client over a unix socket
	$(GO) run ./example/cmd

.PHONY: generate
generate: ## Generate the checked-in code from the proto files
	$(GO) -C tools/protogen run .

.PHONY: checkgenerate
checkgenerate: ## Fail if the checked-in generated code is stale
	$(GO) -C tools/protogen run . -check

# make bench PEERS=ours,ttrpc-v1.2.10,drpc CASES='unary-128-*' ROUNDS=3; all of
# the flags and names: bench/README.md.
PEERS ?=
CASES ?=
ROUNDS ?= 5
BENCHFLAGS ?=

.PHONY: bench
bench: ## Measure side by side with other RPC libraries (PEERS=, CASES=, ROUNDS=)
	cd bench && $(GO) run . -peers '$(PEERS)' -cases '$(CASES)' -rounds $(ROUNDS) $(BENCHFLAGS)
