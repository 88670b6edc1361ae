#!/usr/bin/env bash
# Runs every fuzz target of the module, one after another, for the given time.
set -euo pipefail
time=${1:-20s}
status=0
while IFS=: read -r file name; do
	dir=./$(dirname "$file")
	echo "== $dir $name"
	go test "$dir" -run '^$' -fuzz "^$name\$" -fuzztime "$time" || status=1
done < <(git grep -hoE --no-line-number -e '^func Fuzz[A-Za-z0-9_]+' --full-name -H -- '*_test.go' | sed -E 's/func //')
exit $status
