#!/usr/bin/env bash
# Runs the tests of the root module for other architectures under Debian's qemu-user,
# which it installs where it is missing. The packages are those with code that runs at a
# program's run time, and the generated code that calls it.
#
#   tools/arch/arch.sh s390x arm               without the longest tests
#   FLAGS=-test.short tools/arch/arch.sh arm   with all short ones
#
# FLAGS are the flags of the test binaries. 386 is not among the architectures: qemu-i386
# loses the thread-local storage of Go's threads, with GODEBUG=asyncpreemptoff=1, too.
set -euo pipefail
cd "$(dirname "$0")/../.."

go=${GO:-go}
packages=(. ./details ./plugin ./socket ./ttrpctest ./internal/...)
# Each walks over thousands of places, which are the same on all architectures.
long='^(TestFaults|TestFlowWalk|TestEndedConnectionsKeepNothing)$'
flags=${FLAGS:--test.short -test.skip=$long}

emulator() {
	case $1 in
	amd64) printf 'qemu-x86_64' ;;
	arm64) printf 'qemu-aarch64' ;;
	loong64) printf 'qemu-loongarch64' ;;
	mipsle) printf 'qemu-mipsel' ;;
	mips64le) printf 'qemu-mips64el' ;;
	*) printf 'qemu-%s' "$1" ;;
	esac
}

# run runs the tests of one architecture, whose binaries are compiled, and fails if any
# does. It prints the output of those that fail.
run() {
	local arch=$1 failed=0 path dir binary output
	export TTRPC_TEST_EMULATOR
	TTRPC_TEST_EMULATOR=$(emulator "$arch")
	while read -r path dir; do
		binary=$work/$arch/${path##*/}.test
		output=$binary.out
		[ -e "$binary" ] || continue # a package without tests
		if (cd "$dir" && "$TTRPC_TEST_EMULATOR" "$binary" $flags) >"$output" 2>&1; then
			printf 'ok    %-7s %s\n' "$arch" "$path"
		else
			printf 'FAIL  %-7s %s\n' "$arch" "$path"
			cat "$output"
			failed=1
		fi
	done < <("$go" list -f '{{.ImportPath}} {{.Dir}}' "${packages[@]}")
	return $failed
}

for arch in "$@"; do
	if ! command -v "$(emulator "$arch")" >/dev/null; then
		apt-get update -qq
		apt-get install -y -qq --no-install-recommends qemu-user
		break
	fi
done
# Tests run their binaries as other users.
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT

# One architecture is compiled while the last one's tests run, which wait a lot.
jobs=()
for arch in "$@"; do
	mkdir "$work/$arch"
	GOARCH=$arch GOOS=linux CGO_ENABLED=0 "$go" test -c -o "$work/$arch/" "${packages[@]}" >/dev/null
	run "$arch" &
	jobs+=($!)
done
failed=0
for job in "${jobs[@]}"; do
	wait "$job" || failed=1
done
exit $failed
