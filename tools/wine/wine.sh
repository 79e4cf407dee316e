#!/usr/bin/env bash
# Runs the tests of Windows under Debian's Wine, which it installs where it is missing:
# those of the packages that run in a program, and of the module transports over named
# pipes; then the interop program there against this system, over TCP.
#
#   tools/wine/wine.sh                  all
#   FLAGS='-run TestPing -v' PARTS=root tools/wine/wine.sh
#
# FLAGS are those of go test. PARTS are root, transports and interop.
set -euo pipefail
cd "$(dirname "$0")/../.."

go=${GO:-go}
parts=${PARTS:-root transports interop}
# The examples are over unix sockets, which Windows has and Wine does not.
flags=(${FLAGS:--short -skip=^Example})
wine=/usr/lib/wine/wine64 # Debian's package has no command in the path
compiler=x86_64-w64-mingw32-gcc

if ! [ -x "$wine" ] || ! command -v "$compiler" >/dev/null; then
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends wine64 gcc-mingw-w64-x86-64 >/dev/null
fi

# An installation of Windows of our own, with the processes that belong to it.
work=$(mktemp -d)
export WINEPREFIX=$work/wine WINEARCH=win64 WINEDEBUG=-all
server=/usr/lib/wine/wineserver64
end() {
	"$server" -k || true
	rm -rf "$work"
}
trap end EXIT

# install makes the installation, and adds to Wine 8 what Go's runtime wants of Windows 10:
# its random numbers.
install() {
	timeout 120 "$wine" wineboot -i >/dev/null 2>&1
	timeout 60 "$wine" reg add 'HKCU\Software\Wine' /v Version /d win10 /f >/dev/null
	"$compiler" -shared -o "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" \
		tools/wine/bcryptprimitives.c -ladvapi32
}

root() {
	GOOS=windows "$go" test -timeout 5m -exec "$wine" "${flags[@]}" . ./details ./plugin ./socket ./ttrpctest
}

transports() { GOOS=windows "$go" -C transports test -timeout 2m -exec "$wine" "${flags[@]}" ./...; }

interop() { "$go" -C interop run . -windows "$wine" -versions 'v1.0.2,v1.1.2,v1.2.10'; }

install
# With the last program Windows' services end, and the next program starts them with its own
# output, for the end of which go test waits in vain. So one program stays: it reads from a
# pipe in which nothing comes.
mkfifo "$work/nothing"
"$wine" cmd.exe <>"$work/nothing" >/dev/null 2>&1 &
failed=0
for part in $parts; do
	"$part" || failed=1
done
exit $failed
