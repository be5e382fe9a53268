# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What ./quickstart and ./check share. Sourced, in the top directory, after $me is set.

packages_build='gcc libc6-dev meson ninja-build pkg-config python3 liburing-dev libuv1-dev
	libxxhash-dev liblz4-dev libzstd-dev libjansson-dev'
# redis-tools holds the server's binary as well; the package redis-server would start a service.
packages_check='libcriterion-dev libjemalloc2 clang-format sqlite3 xz-utils redis-tools procps valgrind
	perl mawk gawk bc git make openssl clang libclang-rt-14-dev poppler-utils ghostscript stress-ng zstd'
# What only the long program matrix needs; without it the short one skips what it does not find.
packages_full='nodejs openjdk-17-jdk-headless'
# PostgreSQL's server would be started by its package: it is unpacked instead, over these.
packages_postgres='postgresql-client-15 libgssapi-krb5-2 libicu72 libldap-2.5-0 liblz4-1 libpam0g
	libssl3 libsystemd0 libxml2 libxslt1.1 libzstd1'

say() {
	printf '==> %s\n' "$*"
}

die() {
	printf '%s: %s\n' "$me" "$*" >&2
	exit 1
}

check_machine() {
	[ "$(uname -s)" = Linux ] || die "needs Linux; this is $(uname -s)"
	[ "$(uname -m)" = x86_64 ] || die "needs an x86-64 machine; this is $(uname -m)"
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# need_packages NAME...: install what is missing, and only if something is.
need_packages() {
	missing=
	command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
		die "needs Debian 12's packages and apt-get, which are not here; install by hand: $*"
	for package in "$@"; do
		is_installed "$package" || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0

	as_root=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null ||
			die "not root and no sudo; as root, type: apt-get install$missing"
		as_root='sudo -n'
		if ! sudo -n true 2>/dev/null; then
			[ -t 0 ] || die "sudo wants a password; type: sudo apt-get install$missing"
			as_root=sudo
		fi
	fi
	say "installing packages:$missing"
	apt_log=$(mktemp)
	# The lists first: on a fresh machine there are none, and old ones name packages long gone.
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >"$apt_log" 2>&1 </dev/null || true
	# shellcheck disable=SC2086
	if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
	    --no-install-recommends -o DPkg::Lock::Timeout=120 $missing >>"$apt_log" 2>&1 </dev/null; then
		why=$(grep -m 1 -oE 'Temporary failure resolving.*|Could not (connect|resolve).*|.*unreachable.*' \
			"$apt_log" || true)
		if [ -n "$why" ]; then
			why="no network: $why"
		else
			why=$(grep -E '^E: ' "$apt_log" | tail -n 1)
		fi
		rm -f "$apt_log"
		die "apt-get could not install$missing ($why)"
	fi
	rm -f "$apt_log"
	for package in $missing; do
		is_installed "$package" || die "apt-get did not install $package"
	done
}

# unpack_postgres DIR: PostgreSQL's server, under DIR/usr/lib/postgresql, unless it is installed.
unpack_postgres() {
	for home in /usr/lib/postgresql/*; do
		[ ! -x "$home/bin/initdb" ] || return 0
	done
	# shellcheck disable=SC2086
	need_packages $packages_postgres
	say "unpacking postgresql-15"
	(cd "$1" && apt-get download -q postgresql-15 >download.log 2>&1 &&
		dpkg-deb -x postgresql-15_*.deb .) || die "postgresql-15: $(tail -n 1 "$1/download.log")"
}

# build DIR MESON-OPTION...: configure if need be, compile. The log is shown when it fails.
build() {
	dir=$1
	shift
	mkdir -p "$dir"
	if [ ! -f "$dir/build.ninja" ] || [ "$(cat "$dir/.options" 2>/dev/null)" != "$*" ]; then
		rm -rf "$dir"
		if ! meson setup "$dir" "$@" >"$dir.log" 2>&1; then
			tail -n 30 "$dir.log" >&2
			die "meson could not configure $dir; see above"
		fi
		printf '%s' "$*" >"$dir/.options"
	fi
	if ! ninja -C "$dir" >"$dir.log" 2>&1; then
		grep -vE '^\[[0-9]+/[0-9]+\] (Compiling|Linking)' "$dir.log" | tail -n 40 >&2
		die "the build in $dir failed; see above"
	fi
	rm -f "$dir.log"
}
