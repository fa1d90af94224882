#!/bin/sh
# Install the foreign verifiers that tests/interop needs, and build what has to be built.
#
#   tools/interop-setup.sh
#
# From Debian: Go and golang.org/x/mod (the checksum database's note and tlog packages), npm with the Node to run it,
# openssl. From npm, pinned by hash in tests/interop/node/package-lock.json: a Node 24, @sigstore/verify,
# @noble/post-quantum, openai, and CPython 3.12 and 3.13 as WebAssembly (pyodide). Everything built or fetched goes
# below ${APOSTILLE_BUILD:-.build}/interop.
#
# May be run again at any time; what is up to date stays. The Python verifiers come with requirements/test.txt.
set -eu

repo=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$repo"
sources=$repo/tests/interop

build=${APOSTILLE_BUILD:-.build}
case $build in
/*) ;;
*) build=$repo/$build ;;
esac
build=$build/interop
mkdir -p "$build/bin" "$build/node" "$build/go-cache"

say() { printf 'interop-setup: %s\n' "$*"; }
die() {
	say "$*" >&2
	exit 1
}

# --- Debian packages --------------------------------------------------------------------------------------------------

gopath=/usr/share/gocode

missing_packages() {
	command -v go >/dev/null || echo golang-go
	[ -f "$gopath/src/golang.org/x/mod/sumdb/tlog/tile.go" ] || echo golang-golang-x-mod-dev
	command -v node >/dev/null || echo nodejs
	command -v npm >/dev/null || echo npm
	command -v openssl >/dev/null || echo openssl
}

# Unquoted on purpose from here on: a list of words becomes one line.
missing=$(echo $(missing_packages))
if [ -n "$missing" ]; then
	command -v apt-get >/dev/null || die "missing, and there is no apt-get here to install it: $missing"
	if [ "$(id -u)" -eq 0 ]; then
		as_root='env'
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		as_root='sudo -n env'
	else
		die "missing, and only root can install it: apt-get install --no-install-recommends $missing"
	fi
	say "installing $missing"
	$as_root apt-get update -q >"$build/apt.log" 2>&1 || die "apt-get update failed: $(tail -n 3 "$build/apt.log")"
	$as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing \
		>>"$build/apt.log" 2>&1 || die "apt-get install failed: $(tail -n 5 "$build/apt.log")"
	missing=$(echo $(missing_packages))
	[ -z "$missing" ] || die "still missing after apt-get install: $missing"
fi

# --- checklog ---------------------------------------------------------------------------------------------------------

# GOPATH mode: Debian ships the library as sources, and nothing is to be fetched.
for program in checklog checkproof; do
	(
		cd "$sources/go/$program"
		GO111MODULE=off GOPATH=$gopath GOFLAGS='' GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 GOCACHE=$build/go-cache \
			go build -trimpath -o "$build/bin/$program" .
	)
	# The tests compare its age with the source's.
	touch "$build/bin/$program"
	say "$program: built with $(go version | cut -d ' ' -f 3)"
done

# --- Node packages ----------------------------------------------------------------------------------------------------

# The copy named "installed" is made last, so an interrupted run does not count.
lock=$sources/node/package-lock.json
if ! cmp -s "$lock" "$build/node/installed"; then
	rm -f "$build/node/installed"
	cp "$sources/node/package.json" "$lock" "$build/node/"
	# No package here has an install script that we need. The Node that runs npm may be older than some packages
	# want: it never runs them.
	(
		cd "$build/node"
		npm ci --ignore-scripts --no-audit --no-fund --engine-strict=false --loglevel=error
	)
	cp "$lock" "$build/node/installed"
fi
for node in "$build"/node/node_modules/node-linux-*/bin/node; do
	[ -x "$node" ] || die "npm has no Node 24 for this machine ($(uname -m))"
	say "node: $("$node" --version)"
done
