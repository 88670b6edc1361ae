#!/usr/bin/env bash
# Asks Go's vulnerability database about the code that this module really calls.
# Exit 1: something is known, or the scan itself failed. Where the database
# cannot be reached nothing was checked: it says so and exits 0, so that `make`
# on a machine without the network is not broken by it, but with CI=true, where
# a silent gap would count as a pass, it exits 1. LLMGW_VULNDB names a mirror.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v1.9.0

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
unchecked() {
	sed 's/^/  /' "$tmp/out" >&2
	echo "govulncheck: nothing was checked: $1" >&2
	[ "${CI:-}" != true ] || exit 1
	exit 0
}

if ! GOBIN="$tmp" ${GO:-go} install "golang.org/x/vuln/cmd/govulncheck@$version" >"$tmp/out" 2>&1; then
	unchecked "govulncheck $version cannot be had from the module proxy"
fi
args=()
[ -z "${LLMGW_VULNDB:-}" ] || args+=(-db "$LLMGW_VULNDB")
status=0
"$tmp/govulncheck" "${args[@]}" ./... >"$tmp/out" 2>&1 || status=$?
case $status in
0 | 3) cat "$tmp/out" ;;
*)
	if grep -q 'fetching vulnerabilities' "$tmp/out"; then
		unchecked "the vulnerability database is out of reach"
	fi
	cat "$tmp/out" >&2
	;;
esac
[ $status -eq 0 ] || exit 1
