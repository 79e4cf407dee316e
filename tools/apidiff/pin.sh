#!/usr/bin/env bash
# Writes releases/VERSION.mod and .sum: what it takes to load the API of one
# release of ttrpc, at fixed versions.
#
#   ./pin.sh v1.2.7
#   ./pin.sh v0.0.0-20190613183316-1fb3814edf44 google.golang.org/grpc@v1.20.1
#
# More arguments are requirements for a release that has no go.mod.
set -euo pipefail
cd "$(dirname "$0")"

version=$1
shift
mod=$PWD/releases/$version.mod
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GOWORK=off GOFLAGS=

cd "$work"
cat >go.mod <<END
module github.com/containerd/ttrpc/tools/apidiff

go 1.21
END
go get "github.com/containerd/ttrpc@$version" "$@"
for package in github.com/containerd/ttrpc github.com/containerd/ttrpc/plugin; do
	if go list "$package" >/dev/null 2>&1 || go get "$package"; then
		printf 'package api\n\nimport _ "%s"\n' "$package" >"$(basename "$package").go"
	fi
done
go mod tidy
cp go.mod "$mod"
cp go.sum "${mod%.mod}.sum"
