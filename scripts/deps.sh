#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: PostgreSQL, PgBouncer,
# Redis, nginx, Prometheus, Node, PyYAML and pip from the distribution, then LiteLLM's migrations and
# Prisma's engine, which some tests compare with, through pip and npm. It only
# acts where it may: as root (or with password-less sudo) on a machine with apt.
# Elsewhere it says what is missing; the tests that need it are then skipped and
# counted, and with CI=true they fail.
set -euo pipefail
cd "$(dirname "$0")/.."

postgres_here() { command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }

packages=() missing=()
want() { # name, debian package, test
	if ! eval "$3"; then
		missing+=("$1")
		packages+=("$2")
	fi
}
want PostgreSQL postgresql postgres_here
want PgBouncer pgbouncer '[ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null'
want Redis redis-server 'command -v redis-server >/dev/null'
want nginx nginx-light '[ -x /usr/sbin/nginx ] || command -v nginx >/dev/null'
want Prometheus prometheus 'command -v prometheus >/dev/null && command -v promtool >/dev/null'
want Node nodejs 'command -v node >/dev/null'
want npm npm 'command -v npm >/dev/null'
want PyYAML python3-yaml 'python3 -c "import yaml" 2>/dev/null || /usr/bin/python3 -c "import yaml" 2>/dev/null'
want pip python3-pip 'python3 -m pip --version >/dev/null 2>&1'

# may_install says whether this user can install packages here, and how.
sudo=()
may_install() {
	command -v apt-get >/dev/null || return 1
	[ "$(id -u)" -eq 0 ] && return 0
	sudo=(sudo -n)
	sudo -n true 2>/dev/null
}

if [ ${#missing[@]} -gt 0 ]; then
	if may_install; then
		echo "deps: installing ${missing[*]}"
		# RUNLEVEL=1 keeps the packages from starting system services: the tests
		# start their own on random ports.
		"${sudo[@]}" env RUNLEVEL=1 apt-get update -q >/dev/null
		"${sudo[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >/dev/null
	else
		echo "deps: missing ${missing[*]} and not allowed to install; install them (Debian: ${packages[*]}) or the tests that need them are skipped" >&2
		if [ "${CI:-}" = true ]; then exit 1; fi
	fi
fi

if ! ${GO:-go} run ./internal/testenv/fetch -missing; then
	echo "deps: LiteLLM's migrations or Prisma's engine cannot be fetched; the tests that compare with them are skipped" >&2
	if [ "${CI:-}" = true ]; then exit 1; fi
fi
