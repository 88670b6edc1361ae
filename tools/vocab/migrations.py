#!/usr/bin/env python3
"""Write the manifest of the emulated release's database migrations.

Run it with an interpreter that has litellm[proxy]; it prints
internal/litellm/data/migrations.tsv: the name of each migration, the SHA-256 of
its file as Prisma records it, and marks. It prints no statement.

Arguments are wheels of earlier releases of litellm-proxy-extras: the checksums
that their files of the same name have go into the column "earlier", because
LiteLLM has rewritten files that databases had applied already.

online  it builds or drops an index CONCURRENTLY, so it cannot run in a transaction
index   it does nothing but create or drop indexes
empty   it does nothing
"""

import hashlib
import os
import re
import sys
import zipfile
from importlib.metadata import version

import litellm_proxy_extras


def statements(text):
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"--[^\n]*", " ", text)
    return [s.strip() for s in text.split(";") if s.strip()]


def marks(sql):
    found = statements(sql)
    if not found:
        return "empty"
    words = []
    if any(re.search(r"\bCONCURRENTLY\b", s, re.I) for s in found):
        words.append("online")
    if all(re.match(r"(CREATE\s+(UNIQUE\s+)?INDEX|DROP\s+INDEX)\b", s, re.I) for s in found):
        words.append("index")
    return " ".join(words) or "-"


def earlier(wheels):
    found = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as z:
            for entry in z.namelist():
                m = re.match(r"litellm_proxy_extras/migrations/([^/]+)/migration\.sql$", entry)
                if m:
                    digest = hashlib.sha256(z.read(entry)).hexdigest()
                    if digest not in found.setdefault(m[1], []):
                        found[m[1]].append(digest)
    return found


def main():
    others = earlier(sys.argv[1:])
    base = os.path.join(os.path.dirname(litellm_proxy_extras.__file__), "migrations")
    print(f"# The migrations of LiteLLM {version('litellm')} (litellm-proxy-extras {version('litellm-proxy-extras')}), in the order in which they")
    print("# are applied. marks: online (CONCURRENTLY), index (indexes only), empty (no statement).")
    print("# earlier: checksums that the file had in other releases.")
    print("name\tsha256\tmarks\tearlier")
    for name in sorted(os.listdir(base), key=str.encode):
        path = os.path.join(base, name, "migration.sql")
        if not os.path.exists(path):
            continue
        with open(path, "rb") as f:
            data = f.read()
        digest = hashlib.sha256(data).hexdigest()
        print("\t".join([name, digest, marks(data.decode()), " ".join(h for h in others.get(name, []) if h != digest) or "-"]))


if __name__ == "__main__":
    main()
