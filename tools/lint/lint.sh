#!/usr/bin/env bash
# Runs gofmt, go vet and staticcheck over the modules given as arguments, and go
# vet for the other systems over the root module, for Windows over the benchmark.
# Prints what is wrong and fails if anything is.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD
go=${GO:-go}
failed=0

check() {
	printf '%s\n' "$1"
	shift
	"$@" || failed=1
}

unformatted() {
	local files
	files=$(git ls-files -z '*.go' ':!*.pb.go' | xargs -0 gofmt -s -l)
	[ -z "$files" ] || { printf 'not formatted by gofmt -s: %s\n' $files && false; }
}

vet() { (cd "$1" && "$go" vet ./...); }

staticcheck() { (cd "$1" && "$go" tool -modfile="$root/tools/lint/go.mod" staticcheck ./...); }

check gofmt unformatted
for module in "$@"; do
	check "go vet, $module" vet "$module"
	check "staticcheck, $module" staticcheck "$module"
done
for goos in windows darwin freebsd; do
	check "go vet, GOOS=$goos" env GOOS="$goos" "$go" vet ./...
done
# The benchmark has named pipes there.
for module in bench bench/peers/ours; do
	GOOS=windows check "go vet, $module, GOOS=windows" vet "$module"
done
exit "$failed"
