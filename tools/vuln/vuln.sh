#!/usr/bin/env bash
# Runs govulncheck over the modules given as arguments. Exits with 3 when one of them
# calls something vulnerable, and with 4 when the database of vulnerabilities cannot
# be reached: then nothing is known. VULNDB=URL takes another one.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD
go=${GO:-go}
db=${VULNDB:-https://vuln.go.dev}
failed=0

for module in "$@"; do
	printf 'govulncheck, %s\n' "$module"
	status=0
	out=$(cd "$module" && "$go" tool -modfile="$root/tools/vuln/go.mod" govulncheck -db "$db" ./... 2>&1) || status=$?
	printf '%s\n' "$out"
	if [[ $out == *'fetching vulnerabilities:'* ]]; then
		printf 'NOT CHECKED: the database of vulnerabilities, %s, cannot be reached from here. VULNDB=URL takes a copy, file:///... too.\n' "$db" >&2
		exit 4
	fi
	[ $status -eq 0 ] || failed=$status
done
exit "$failed"
