#!/usr/bin/env python3
"""Compare llmgw's tables of LiteLLM's vocabulary with an installed LiteLLM.

    python3 tools/vocab/check.py            # install the emulated release, compare
    python3 tools/vocab/check.py --here     # compare with the LiteLLM of this interpreter
    python3 tools/vocab/check.py --add      # also append what is missing to the tables

When they agree it writes internal/litellm/data/checked.txt; a Go test fails when
a name is added or removed without a new check.

It reads names and types only: fields of pydantic models, parameters of
constructors, options of the command line, names looked up in the environment
or in a settings mapping. It never reads or prints the package's texts.

Exit codes: 0 tables and package agree, or differ only as allow.txt says;
1 they differ; 2 it could not be compared.
"""

import argparse
import ast
import csv
import hashlib
import inspect
import io
import os
import re
import subprocess
import sys
import tempfile
import typing

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DATA = os.path.join(ROOT, "internal", "litellm", "data")
PROVIDERS = os.path.join(ROOT, "internal", "catalog", "data", "providers.tsv")
ALLOW = os.path.join(HERE, "allow.txt")


def compat():
    """The emulated release, as the Go constant says it."""
    with open(os.path.join(ROOT, "internal", "litellm", "litellm.go"), encoding="utf-8") as f:
        return re.search(r'^const Compat = "([^"]+)"', f.read(), re.M).group(1)


def rows(path):
    """The rows of one of our tables, as dictionaries by column."""
    with open(path, encoding="utf-8") as f:
        text = "".join(line for line in f if line.strip() and not line.startswith("#"))
    return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))


# --- what the package knows ---------------------------------------------------


def go_type(annotation):
    """Our word for a Python annotation, or any."""
    if isinstance(annotation, typing.TypeVar):
        return "any"
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "enum" if all(isinstance(a, str) for a in args) else "any"
    if origin is typing.Annotated:
        return go_type(args[0])
    if args and (origin is typing.Union or str(origin) == "<class 'types.UnionType'>"):
        parts = [go_type(a) for a in args if a is not type(None)]
        parts = list(dict.fromkeys(parts))
        return "|".join(parts) if "any" not in parts and len(parts) <= 3 else "any"
    base = origin or annotation
    if isinstance(base, type):
        if issubclass(base, bool):
            return "bool"
        if issubclass(base, int):
            return "int"
        if issubclass(base, float):
            return "float"
        if issubclass(base, str):
            return "str"
        if issubclass(base, (list, tuple, set, frozenset)):
            return "list"
        if issubclass(base, dict) or hasattr(base, "model_fields") or hasattr(base, "__total__"):
            return "map"
        if base.__name__ == "Sequence":
            return "list"
        if base.__name__ == "Mapping":
            return "map"
    return "any"


def literals(annotation):
    """The words of a Literal inside an annotation."""
    if typing.get_origin(annotation) is typing.Literal:
        return [a for a in typing.get_args(annotation) if isinstance(a, str)]
    words = []
    for a in typing.get_args(annotation):
        words += literals(a)
    return words


def fields(model):
    return {n: (go_type(f.annotation), literals(f.annotation)) for n, f in model.model_fields.items()}


def parameters(function):
    hints = {}
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # hints that need modules which are not installed
        pass
    skip = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        n: (go_type(hints.get(n, typing.Any)), [])
        for n, p in inspect.signature(function).parameters.items()
        if n != "self" and not n.startswith("_") and p.kind not in skip
    }


def constant(node):
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def last_name(node):
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


GETTERS = {"getenv", "get_secret", "get_secret_str", "get_secret_bool"}
CASTS = {"int": "int", "float": "float", "str_to_bool": "bool strict", "get_secret_bool": "bool strict"}


class Names(ast.NodeVisitor):
    """Names looked up in the environment and in settings mappings."""

    def __init__(self):
        self.env, self.general, self.litellm, self.top = {}, set(), set(), set()
        self.mentioned = set()  # every string that looks like a variable's name
        self.in_server = False
        self.cast = None

    def note_env(self, name, cast=""):
        self.env[name] = self.env.get(name) or cast or ""

    def note(self, mapping, name):
        if mapping == "environ":
            self.note_env(name, self.cast or "")
        elif mapping.endswith("general_settings"):
            self.general.add(name)
        elif mapping.endswith("litellm_settings"):
            self.litellm.add(name)
        elif mapping == "config" and self.in_server:
            self.top.add(name)

    def visit_Constant(self, node):
        if isinstance(node.value, str) and re.fullmatch("[A-Z][A-Z0-9_]{2,}", node.value):
            self.mentioned.add(node.value)

    def visit_Call(self, node):
        fn = last_name(node.func)
        first = constant(node.args[0]) if node.args else None
        if fn in GETTERS:
            for k in node.keywords:
                if k.arg == "secret_name":
                    first = constant(k.value) or first
            if first:
                self.note_env(first, CASTS.get(fn) or self.cast or "")
        if fn == "getattr" and len(node.args) > 1 and last_name(node.args[0]) == "litellm" and constant(node.args[1]):
            self.litellm.add(constant(node.args[1]))
        for k in node.keywords:
            if k.arg == "envvar" and constant(k.value):
                self.note_env(constant(k.value))
        if first and fn in ("get", "pop", "setdefault") and isinstance(node.func, ast.Attribute):
            self.note(last_name(node.func.value), first)
        outer, self.cast = self.cast, CASTS.get(fn, None)
        self.generic_visit(node)
        self.cast = outer

    def visit_Subscript(self, node):
        name = constant(node.slice)
        if name:
            self.note(last_name(node.value), name)
        self.generic_visit(node)

    def visit_Compare(self, node):
        if len(node.ops) == 1:
            other = node.comparators[0]
            if isinstance(node.ops[0], (ast.In, ast.NotIn)) and constant(node.left):
                self.note(last_name(other), constant(node.left))
            # load_config walks litellm_settings with a variable called key
            if self.in_server and last_name(node.left) == "key" and constant(other):
                self.litellm.add(constant(other))
        self.generic_visit(node)


def package():
    """Everything the installed package knows, by table and section."""
    os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR", LITELLM_MODE="PRODUCTION")
    import click
    import litellm
    import redis
    from litellm.caching.caching import Cache
    from litellm.proxy import _types as proxy_types
    from litellm.proxy.proxy_cli import run_server
    from litellm.types import guardrails as guardrail_types
    from litellm.types import router as router_types
    from litellm.types.integrations.slack_alerting import SlackAlertingArgs
    from litellm.types.mcp_server.mcp_server_manager import MCPServer
    from litellm.types.secret_managers.main import KeyManagementSettings
    from litellm.types.utils import LlmProviders

    found = Names()
    base = os.path.dirname(litellm.__file__)
    for folder, _, files in os.walk(base):
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                found.in_server = path == os.path.join(base, "proxy", "proxy_server.py")
                with open(path, encoding="utf-8") as f:
                    found.visit(ast.parse(f.read()))

    plain = (bool, int, float, str, type(None), list, dict)
    attributes = {}
    for name, value in vars(litellm).items():
        if name == name.lower() and not name.startswith("_") and isinstance(value, plain) and not isinstance(value, type):
            kind = {bool: "bool", int: "int", float: "float", str: "str", list: "list", dict: "map"}.get(type(value), "any")
            attributes[name] = (kind, [])
    untyped = lambda names: {n: ("any", []) for n in names}

    sections = {
        "-": {**untyped(found.top), **fields(proxy_types.ConfigYAML)},
        "litellm_params": fields(router_types.LiteLLM_Params),
        "model_info": fields(router_types.ModelInfo),
        "general_settings": {**untyped(found.general), **fields(proxy_types.ConfigGeneralSettings)},
        "litellm_settings": {**untyped(found.litellm), **attributes},
        "cache_params": {**parameters(redis.Redis.__init__), **parameters(Cache.__init__)},
        "router_settings": parameters(litellm.Router.__init__),
        "retry_policy": fields(router_types.RetryPolicy),
        "allowed_fails_policy": fields(router_types.AllowedFailsPolicy),
        "alerting_args": fields(SlackAlertingArgs),
        "coordination_redis": fields(proxy_types.CoordinationRedisParams),
        "key_management_settings": fields(KeyManagementSettings),
        "scheduled_job_stagger": fields(proxy_types.ScheduledJobStaggerSettings),
        "pass_through_endpoints": fields(proxy_types.PassThroughGenericEndpoint),
        "mcp_servers": fields(MCPServer),
        "guardrails.litellm_params": fields(guardrail_types.LitellmParams),
    }
    flags = {}
    for p in run_server.params:
        if isinstance(p, click.Option):
            flags[p.name] = {
                "arity": "switch" if p.is_flag else "value",
                "short": "".join(o[1:] for o in p.opts if re.fullmatch("-[a-z]", o)),
                "env": p.envvar if isinstance(p.envvar, str) else "",
            }
    providers = {p.value for p in LlmProviders}
    try:
        from litellm.llms.openai_like.json_loader import JSONProviderRegistry

        providers |= set(JSONProviderRegistry._providers)
    except Exception as e:  # moved or renamed: say so, the enum alone is compared
        print(f"note: the registry of JSON providers was not found ({type(e).__name__})", file=sys.stderr)
    from importlib.metadata import version

    return version("litellm"), sections, flags, found.env, found.mentioned, providers


# --- comparison ----------------------------------------------------------------


def allowed():
    """Lines of allow.txt: side, table, name or pattern, and a reason."""
    rules = []
    with open(ALLOW, encoding="utf-8") as f:
        for n, line in enumerate(f, 1):
            line = line.split("#")[0].split()
            if not line:
                continue
            if len(line) != 3 or line[0] not in ("theirs", "ours"):
                sys.exit(f"{ALLOW}:{n}: want: theirs|ours TABLE PATTERN  # reason")
            pattern = re.escape(line[2]).replace(r"\*", ".*")
            rules.append([line[0], line[1], re.compile(pattern + r"\Z"), n, 0])
    return rules


def excused(rules, side, table, name):
    for rule in rules:
        if rule[0] == side and rule[1] == table and rule[2].match(name):
            rule[4] += 1
            return True
    return False


SECRET = re.compile(r"(KEY|SECRET|TOKEN|PASSWORD|PASSWORDS|JWT|CREDENTIALS?|APIKEY|LICENSE|HEADERS)\Z")
NOT_SECRET = re.compile(r"(MAX_TOKENS?|_FILE|TOKEN_COUNT|KEY_NAME|_TOKENS)\Z")


def new_env_row(name, cast):
    kind, _, words = (cast or "str").partition(" ")
    secret = "secret" if kind == "str" and SECRET.search(name) and not NOT_SECRET.search(name) else "-"
    return [name, "package", kind, "-", words or "-", "-", "-", secret, "info", "3", "-"]


def new_key_row(section, name, kind, words):
    return [section, name, kind, "-", " ".join(words) if kind == "enum" and words else "-", "live", "-", "3", "-"]


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--here", action="store_true", help="use the LiteLLM of this interpreter")
    p.add_argument("--venv", default=os.path.join(tempfile.gettempdir(), "llmgw-vocab"), help="where to install it")
    p.add_argument("--add", action="store_true", help="append missing names to the tables")
    args = p.parse_args()
    if not args.here:
        sys.exit(in_venv(args))
    try:
        release, sections, flags, env, mentioned, providers = package()
    except ImportError as e:
        print(f"LiteLLM cannot be compared: {e}", file=sys.stderr)
        return 2

    rules, bad, add_keys, add_env = allowed(), [], [], []

    def report(side, table, name, extra=""):
        if not excused(rules, side, table, name):
            word = "missing here" if side == "theirs" else "not in the package"
            bad.append(f"{table}: {name}: {word}{extra}")
            return True
        return False

    if release != compat():
        bad.append(f"release: {release} is installed, litellm.Compat is {compat()}")
    ours = {}
    for r in rows(os.path.join(DATA, "keys.tsv")):
        ours.setdefault(r["section"], {})[r["name"]] = r
    for section, names in sections.items():
        mine = ours.get(section, {})
        table = "top" if section == "-" else section
        for name in sorted(names.keys() - mine.keys()):
            if report("theirs", table, name, f" ({names[name][0]})"):
                add_keys.append(new_key_row(section, name, *names[name]))
        for name in sorted(mine.keys() - names.keys()):
            report("ours", table, name)
    mine = {r["name"]: r for r in rows(os.path.join(DATA, "flags.tsv"))}
    for name in sorted(flags.keys() | mine.keys()):
        if name not in mine:
            report("theirs", "flags", name)
        elif name not in flags:
            report("ours", "flags", name)
        else:
            f, r = flags[name], mine[name]
            if f["arity"] != r["arity"] or f["short"] != r["short"].strip("-"):
                bad.append(f"flags: {name}: arity {f['arity']} short {f['short'] or '-'} in the package")
            if f["env"] and f["env"] not in r["env"].split():
                bad.append(f"flags: {name}: the package reads {f['env']}")
    mine = {r["name"]: r for r in rows(os.path.join(DATA, "env.tsv"))}
    for name in sorted(env.keys() - mine.keys()):
        if not re.fullmatch("[A-Za-z][A-Za-z0-9_]+", name):
            continue
        if report("theirs", "env", name):
            add_env.append(new_env_row(name, env[name]))
    for name in sorted(mine.keys() - env.keys() - mentioned):
        report("ours", "env", name)
    for name in mine.keys() & env.keys():
        words = mine[name]["words"].split(" ")[0]
        if env[name] == "bool strict" and words not in ("strict", "-") :
            bad.append(f"env: {name}: the package reads true and false only, the table says {words}")
    mine = {r["name"] for r in rows(PROVIDERS)}
    for name in sorted(providers - mine):
        report("theirs", "providers", name)
    for name in sorted(mine - providers):
        report("ours", "providers", name)

    for line in bad:
        print(line)
    for rule in rules:
        if not rule[4]:
            print(f"allow.txt:{rule[3]}: this line excuses nothing", file=sys.stderr)
    if not bad:
        stamp(release)
    if args.add:
        append(os.path.join(DATA, "keys.tsv"), add_keys, 0)
        append(os.path.join(DATA, "env.tsv"), add_env, 1)
        print(f"added {len(add_keys)} keys and {len(add_env)} variables", file=sys.stderr)
    total = sum(len(s) for s in sections.values())
    print(f"litellm {release}: {total} keys, {len(flags)} flags, {len(env)} variables, {len(providers)} providers compared; {len(bad)} differences")
    return 1 if bad else 0


def stamp(release):
    """Write down which names were checked, so that a Go test can tell when they change."""
    names = [f"{r['section']}.{r['name']}" for r in rows(os.path.join(DATA, "keys.tsv"))]
    names += ["--" + r["name"] for r in rows(os.path.join(DATA, "flags.tsv"))]
    names += ["$" + r["name"] for r in rows(os.path.join(DATA, "env.tsv"))]
    names += [r["name"] + "/" for r in rows(PROVIDERS)]
    digest = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
    with open(os.path.join(DATA, "checked.txt"), "w", encoding="utf-8") as f:
        f.write(f"{release} {len(names)} {digest}\n")


def append(path, new, column):
    """Add rows to a table, each behind the rows that share its group."""
    if not new:
        return
    with open(path, encoding="utf-8") as f:
        lines = f.read().splitlines()
    head = next(i for i, line in enumerate(lines) if not line.startswith("#")) + 1
    body = [line.split("\t") for line in lines[head:] if line] + new
    order = list(dict.fromkeys(r[column] for r in body))
    body.sort(key=lambda r: order.index(r[column]))
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(lines[:head] + ["\t".join(r) for r in body]) + "\n")


def in_venv(args):
    """Install the emulated release into a throw-away environment and compare there."""
    python = os.path.join(args.venv, "bin", "python")
    try:
        if not os.path.exists(python):
            subprocess.run([sys.executable, "-m", "venv", args.venv], check=True)
        want = f"litellm[proxy]=={compat()}"
        subprocess.run([python, "-m", "pip", "install", "--quiet", want], check=True)
    except (OSError, subprocess.CalledProcessError) as e:
        print(f"installing LiteLLM: {e}", file=sys.stderr)
        return 2
    again = [python, os.path.abspath(__file__), "--here"] + (["--add"] if args.add else [])
    return subprocess.run(again, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
