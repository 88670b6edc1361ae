#!/usr/bin/env bash
# Puts LiteLLM's migrations of the emulated release where a release build embeds
# them (-tags litellmset): the package litellm-proxy-extras as it was published,
# checked by its hash, with its licence beside it. Git ignores the folder. The
# migrations' own hashes are in internal/litellm/data/migrations.tsv; a build
# whose package does not agree with them refuses to use it.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.4.108
sha256=e0e62cebf6ac3789236319f46a326e80904951baac28c8b58dadcf088643d3e7
dir=pkg/migrate/sets/litellm
file=litellm_proxy_extras-$version-py3-none-any.whl

mkdir -p "$dir"
if ! echo "$sha256  $dir/migrations.whl" | sha256sum --check --status 2>/dev/null; then
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	echo "litellm-proxy-extras==$version --hash=sha256:$sha256" >"$tmp/requirements.txt"
	python3 -m pip download --quiet --no-deps --only-binary :all: --require-hashes --dest "$tmp" -r "$tmp/requirements.txt"
	mv "$tmp/$file" "$dir/migrations.whl"
fi
echo "$sha256  $dir/migrations.whl" | sha256sum --check --quiet
python3 - "$dir" "litellm_proxy_extras-$version.dist-info/licenses/LICENSE" <<'PY'
import sys, zipfile
folder, name = sys.argv[1:]
with zipfile.ZipFile(folder + "/migrations.whl") as z, open(folder + "/LICENSE", "wb") as out:
    out.write(z.read(name))
PY
echo "release-set: litellm-proxy-extras $version in $dir"
