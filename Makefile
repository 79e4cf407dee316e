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
