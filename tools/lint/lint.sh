#!/usr/bin/env bash
# Runs gofmt, go vet and staticcheck over the modules given as arguments, and go
# vet for the other systems over the root module, for Windows over the benchmark.
# With SYSTEMS=0 it leaves out the other systems. Prints what is wrong and fails if
# anything is.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD
go=${GO:-go}
failed=0
systems=$(mktemp)
trap 'rm -f "$systems"' EXIT

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
check prose "$go" -C tools/prose run . ../..
for module in "$@"; do
	check "go vet, $module" vet "$module"
	check "staticcheck, $module" staticcheck "$module"
done
[ "${SYSTEMS:-1}" != 0 ] || exit "$failed"
# Every system that Go knows, each on one architecture, and without cgo. Android
# wants arm64 for that. For iOS nothing can be linked without cgo, which vet insists
# on: the packages are compiled, and their tests are those of darwin.
"$go" tool dist list | awk -F/ -v OFS=/ '
	$1 "/" $2 == "android/amd64" { next }
	!($1 in arch) { order[n++] = $1 }
	!($1 in arch) || $2 == "amd64" || $1 == "android" { arch[$1] = $2 }
	END { for (i = 0; i < n; i++) print order[i], arch[order[i]] }' >"$systems"
[ -s "$systems" ] || failed=1
while IFS=/ read -r goos goarch; do
	system=(env GOOS="$goos" GOARCH="$goarch" CGO_ENABLED=0 "$go")
	if [ "$goos" = ios ]; then
		check "go build, GOOS=$goos" "${system[@]}" build $("$go" list -f '{{if ne .Name "main"}}{{.ImportPath}}{{end}}' ./...)
	else
		check "go vet, GOOS=$goos" "${system[@]}" vet ./...
	fi
done <"$systems"
# These have named pipes there.
for module in bench bench/peers/ours transports; do
	GOOS=windows check "go vet, $module, GOOS=windows" vet "$module"
done
exit "$failed"
