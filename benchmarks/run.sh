#!/usr/bin/env bash
# Compares the CPU time per request of llmgw, nginx and a tuned ReverseProxy.
# Arguments go to the harness: -quick, -full, -rounds N, -only small,paced ...
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v nginx >/dev/null; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "installing nginx-light for the comparison" >&2
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nginx-light >/dev/null
	else
		echo "nginx is missing: the table will lack its column; install nginx-light" >&2
	fi
fi
mkdir -p bin
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/llmgw .
go build -trimpath -o bin/benchmarks ./benchmarks
pin=()
if command -v taskset >/dev/null; then pin=(taskset -c 0); fi
GOMAXPROCS=1 exec "${pin[@]}" bin/benchmarks -bin bin/llmgw "$@"
