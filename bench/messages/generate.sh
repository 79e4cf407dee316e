#!/usr/bin/env bash
# Generates the Echo message for protobuf-go (pb) and for gogo/protobuf (gogo).
# The generators are those of the versions that the two go.mod files require.
set -euo pipefail
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
(cd pb && go build -o "$bin/" google.golang.org/protobuf/cmd/protoc-gen-go)
(cd gogo && go build -o "$bin/" github.com/gogo/protobuf/protoc-gen-gogofast)
protoc --plugin="$bin/protoc-gen-go" --go_out=pb --go_opt=paths=source_relative echo.proto
protoc --plugin="$bin/protoc-gen-gogofast" --gogofast_out=paths=source_relative:gogo echo.proto
