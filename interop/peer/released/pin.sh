#!/usr/bin/env bash
# Writes VERSION.mod and VERSION.sum beside this script: the peer's requirements
# for one release of ttrpc, and nothing newer than that release asks for.
#
#   released/pin.sh v1.2.7 streams
#   released/pin.sh v1.0.2 gogo
#
# The second argument is the build tag of the release's generation; more
# arguments are further requirements, for releases without a go.mod.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$1 tags=$2
shift 2
mod=released/$version.mod

cat >"$mod" <<EOF
module github.com/containerd/ttrpc/interop/peer

go 1.21
EOF
: >"${mod%.mod}.sum"
export GOWORK=off GOFLAGS=
go get -modfile="$mod" "github.com/containerd/ttrpc@$version" "$@"
# Resolve the rest of the imports within the versions that are now selected.
go build -mod=mod -modfile="$mod" -tags="$tags" -o /dev/null .
go build -modfile="$mod" -tags="$tags" -o /dev/null .
