#!/usr/bin/env bash
# Writes VERSION.mod and VERSION.sum beside this script: the victim's requirements for
# one release of ttrpc, and nothing newer than that release asks for.
#
#   released/pin.sh v1.2.10
set -euo pipefail
cd "$(dirname "$0")/.."

mod=released/$1.mod
cat >"$mod" <<END
module github.com/containerd/ttrpc/hostile/victim

go 1.21
END
: >"${mod%.mod}.sum"
export GOWORK=off GOFLAGS=
go get -modfile="$mod" "github.com/containerd/ttrpc@$1"
# Resolve the rest of the imports within the versions that are now selected.
go build -mod=mod -modfile="$mod" -tags=released -o /dev/null .
go build -modfile="$mod" -tags=released -o /dev/null .
