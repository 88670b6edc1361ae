#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: PostgreSQL, Redis, nginx
# and Node. It only acts where it may: as root (or with password-less sudo) on a
# machine with apt. Elsewhere it says what is missing; the tests that need it
# are then skipped and counted, and with CI=true they fail.
set -euo pipefail

postgres_here() { command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }

packages=() missing=()
want() { # name, debian package, test
	if ! eval "$3"; then
		missing+=("$1")
		packages+=("$2")
	fi
}
want PostgreSQL postgresql postgres_here
want Redis redis-server 'command -v redis-server >/dev/null'
want nginx nginx-light '[ -x /usr/sbin/nginx ] || command -v nginx >/dev/null'
want Node nodejs 'command -v node >/dev/null'
want npm npm 'command -v npm >/dev/null'
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
	sudo -n true 2>/dev/null && sudo=(sudo -n)
fi
if [ "$(id -u)" -eq 0 ] || [ ${#sudo[@]} -gt 0 ]; then
	if command -v apt-get >/dev/null; then
		echo "deps: installing ${missing[*]}"
		export DEBIAN_FRONTEND=noninteractive
		# RUNLEVEL=1 keeps the packages from starting system services: the tests
		# start their own on random ports.
		"${sudo[@]}" env RUNLEVEL=1 apt-get update -q >/dev/null
		"${sudo[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >/dev/null
		exit 0
	fi
fi
echo "deps: missing ${missing[*]} and not allowed to install; install them (Debian: ${packages[*]}) or the tests that need them are skipped" >&2
if [ "${CI:-}" = true ]; then exit 1; fi
