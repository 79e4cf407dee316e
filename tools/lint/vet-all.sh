#!/usr/bin/env bash
# Runs go vet over the root module, with its tests, for every system and architecture
# that Go knows, without cgo. Prints each that fails, and fails if any does. Where nothing
# can be linked without cgo, which vet insists on, the packages are compiled.
set -euo pipefail
cd "$(dirname "$0")/../.."

go=${GO:-go}
failed=0 count=0
platforms=$("$go" tool dist list)
libraries=$("$go" list -f '{{if ne .Name "main"}}{{.ImportPath}}{{end}}' ./...)
output=$(mktemp)
trap 'rm -f "$output"' EXIT

for platform in $platforms; do
	command=(vet ./...)
	case $platform in
	ios/* | android/386 | android/amd64 | android/arm) command=(build $libraries) ;;
	esac
	count=$((count + 1))
	if ! GOOS=${platform%/*} GOARCH=${platform#*/} CGO_ENABLED=0 "$go" "${command[@]}" >"$output" 2>&1; then
		printf 'FAIL  %s: go %s\n' "$platform" "${command[0]}"
		cat "$output"
		failed=1
	fi
done
printf '%d systems and architectures are checked.\n' "$count"
exit $failed
