#!/usr/bin/env bash
# Rewrites the module files of the containerds that e2e builds, after a change to a
# stock.mod or to the requirements of the root module: go.mod is stock.mod with the
# replace line that a user of this library writes.
set -euo pipefail
cd "$(dirname "$0")"
go=${GO:-go}

for dir in containerd-*; do
	(
		cd "$dir"
		"$go" mod tidy -modfile=stock.mod
		version=$("$go" list -modfile=stock.mod -m -f '{{.Version}}' github.com/containerd/ttrpc)
		cp stock.mod go.mod
		cp stock.sum go.sum
		printf '\nreplace github.com/containerd/ttrpc %s => ../../\n' "$version" >>go.mod
		"$go" mod tidy
	)
done
