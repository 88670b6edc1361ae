#!/usr/bin/env python3
"""Make internal/catalog/data/models.tsv.gz from the npm package @pydantic/genai-prices.

    python3 tools/prices/generate.py             # the version named in VERSION below
    python3 tools/prices/generate.py 0.1.9       # another one

The package (MIT licence, Pydantic Services Inc.) is fetched with npm into a
temporary directory and asked for its data through its public functions; what
we keep are prices, context lengths and the rules by which names match, in a
form of our own. The licence text goes beside the data. Running it twice gives
the same bytes.

Form: gzip of tab-separated lines. The first line is "# version date". Then
one model a line: provider, id, match, context length, prices.

match   alternatives separated by blanks, each of parts joined by "&&":
        =name  ^prefix  $suffix  ~part  /expression  !expression (does not hold)
prices  variants separated by ";", the last one whose date has come holds;
        a variant is [YYYY-MM-DD@]item,item...; an item is unit=price in dollars
        per million tokens (or per unit), with tiers as :start=price appended.
"""

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile

VERSION = "0.1.8"
PACKAGE = "@pydantic/genai-prices"
DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "internal", "catalog", "data")

# Their unit, ours. Units that no call of ours is billed by are left out.
UNITS = {
    "input_mtok": "in",
    "output_mtok": "out",
    "cache_read_mtok": "cr",
    "cache_write_mtok": "cw",
    "cache_write_1h_mtok": "cw1h",
    "input_audio_mtok": "ain",
    "output_audio_mtok": "aout",
    "input_image_mtok": "iin",
    "output_image_mtok": "iout",
    "input_video_mtok": "vin",
    "output_reasoning_mtok": "reason",
    "requests_kcount": "kreq",
    "audio_hours": "hour",
}

# The package offers its data by provider id only; the ids are read off its
# bundle, where they stand at one fixed depth.
DUMP = r"""
import { readFileSync } from 'node:fs'
import * as prices from './package/dist/index.js'
const ids = new Set([...readFileSync('./package/dist/index.js', 'utf8').matchAll(/^    id: "([^"]+)"/gm)].map(m => m[1]))
const found = [...ids].map(id => prices.findProvider({ providerId: id })).filter(Boolean)
console.log(JSON.stringify(found.map(p => ({ id: p.id, models: p.models }))))
"""


def match(rule, nested=False):
    (kind, value), = rule.items()
    if kind == "or":
        if nested:
            raise ValueError("an alternative inside a conjunction")
        return " ".join(match(r) for r in value)
    if kind == "and":
        # the one conjunction of alternatives is multiplied out
        parts = [""]
        for r in value:
            options = [match(o, True) for o in r["or"]] if "or" in r else [match(r, True)]
            parts = [f"{p}&&{o}" if p else o for p in parts for o in options]
        return " ".join(parts)
    if kind == "regex" and value.startswith("^(?!.*") and value.endswith(")"):
        return "!" + value[len("^(?!.*") : -1]  # "does not hold", without look-ahead
    mark = {"equals": "=", "starts_with": "^", "ends_with": "$", "contains": "~", "regex": "/"}[kind]
    if any(c in value for c in " \t\n") or "&&" in value:
        raise ValueError(f"a name with a blank: {value!r}")
    return mark + value


def number(x):
    return format(x, ".12g")


def variant(prices):
    items = []
    for unit, price in sorted(prices.items()):
        if unit not in UNITS or price is None:
            continue
        if isinstance(price, dict):
            tiers = "".join(f":{t['start']}={number(t['price'])}" for t in price["tiers"])
            items.append(f"{UNITS[unit]}={number(price['base'])}{tiers}")
        else:
            items.append(f"{UNITS[unit]}={number(price)}")
    return ",".join(items)


def variants(prices):
    if isinstance(prices, dict):
        return variant(prices)
    # Cheaper hours are left out: of prices that hold at different hours of the
    # day the dearest is kept, which is the safe one for a budget.
    # An entry for hours of the day belongs to the date of the entry before it.
    by_date, date = {}, ""
    for p in prices:
        constraint = p.get("constraint") or {}
        if constraint.get("type") != "time_of_date":
            date = constraint.get("start_date", "")
        if date not in by_date or total(p["prices"]) > total(by_date[date]):
            by_date[date] = p["prices"]
    return ";".join(f"{date}@{variant(p)}" if date else variant(p) for date, p in sorted(by_date.items()))


def total(prices):
    return sum(p["base"] if isinstance(p, dict) else p for p in prices.values() if p)


def main():
    version = sys.argv[1] if len(sys.argv) > 1 else VERSION
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{version}"], cwd=tmp, check=True, stdout=subprocess.DEVNULL)
        (archive,) = [f for f in os.listdir(tmp) if f.endswith(".tgz")]
        with tarfile.open(os.path.join(tmp, archive)) as tar:
            tar.extractall(tmp, filter="data")
        view = subprocess.run(["npm", "view", "--json", f"{PACKAGE}@{version}", "time"], cwd=tmp, capture_output=True, text=True, check=True)
        date = json.loads(view.stdout)[version][:10]
        with open(os.path.join(tmp, "dump.mjs"), "w", encoding="utf-8") as f:
            f.write(DUMP)
        dump = subprocess.run(["node", "dump.mjs"], cwd=tmp, capture_output=True, text=True, check=True)
        with open(os.path.join(tmp, "package", "LICENSE"), encoding="utf-8") as f:
            licence = f.read()
    providers = json.loads(dump.stdout)
    if len(providers) < 30:
        sys.exit(f"only {len(providers)} providers were found; the package has another shape now")
    out, models = io.StringIO(), 0
    out.write(f"# {version} {date}\n")
    for p in sorted(providers, key=lambda p: p["id"]):
        for m in p["models"]:
            prices, context = variants(m["prices"]), m.get("context_window") or 0
            if "=" not in prices and not context:
                continue  # priced by something we do not count
            out.write("\t".join([p["id"], m["id"], match(m["match"]), str(context), prices]) + "\n")
            models += 1
    packed = gzip.compress(out.getvalue().encode(), compresslevel=9, mtime=0)
    with open(os.path.join(DATA, "models.tsv.gz"), "wb") as f:
        f.write(packed)
    with open(os.path.join(DATA, "models.LICENSE"), "w", encoding="utf-8") as f:
        f.write(f"models.tsv.gz is derived from the data of {PACKAGE} {version} ({date}),\nwhich comes under this licence:\n\n{licence.strip()}\n")
    print(f"{PACKAGE} {version} of {date}: {len(providers)} providers, {models} models, {len(packed)} bytes")


if __name__ == "__main__":
    main()
