"""Writes vectors.json: what an installed LiteLLM loads from the files below.

Run it with a Python that has litellm[proxy]; the Go tests need only the JSON. "differs"
says in a word where llmgw departs on purpose; the numbers are those of docs/compatibility.md.
"""
import asyncio, json, os, sys, tempfile

os.environ["LITELLM_MODE"] = "PRODUCTION"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_LOG"] = "CRITICAL"

from importlib.metadata import version
from litellm.proxy.proxy_server import ProxyConfig

ENV = {"SET": "value", "TRUE": " True ", "FALSE": "false", "FIVE": "5", "EMPTY": "", "YES": "yes"}

CASES = [
    ("references", {"c.yaml": "a: os.environ/SET\nb: {c: os.environ/SET}\nd: [{e: os.environ/SET}]\nf: x-os.environ/SET\ng: os.environ/NOPE\nh: os.environ/TRUE\ni: os.environ/FALSE\nj: os.environ/FIVE\nk: os.environ/EMPTY\nl: os.environ/YES\nm: ' os.environ/SET'\n"}, ""),
    ("references in lists", {"c.yaml": "a: [os.environ/SET, [os.environ/SET, {b: os.environ/SET}]]\n"}, "D10"),
    ("reference as a key", {"c.yaml": "os.environ/SET: a\n"}, ""),
    ("null sections", {"c.yaml": "model_list:\ngeneral_settings:\nlitellm_settings:\nrouter_settings:\n"}, ""),
    ("include joins lists", {"c.yaml": "include: [a.yaml, b.yaml]\nl: [1]\n", "a.yaml": "l: [2]\n", "b.yaml": "l: [3]\nm: 1\n"}, ""),
    ("include replaces mappings", {"c.yaml": "include: [a.yaml]\ng: {x: 1, y: 2}\n", "a.yaml": "g: {z: 3}\n"}, ""),
    ("include replaces scalars, the last wins", {"c.yaml": "include: [a.yaml, b.yaml]\ns: 1\n", "a.yaml": "s: 2\n", "b.yaml": "s: 3\n"}, ""),
    ("include of a null replaces", {"c.yaml": "include: [a.yaml]\nl: [1]\n", "a.yaml": "l:\n"}, ""),
    ("include into a null", {"c.yaml": "include: [a.yaml]\nl:\n", "a.yaml": "l: [1]\n"}, ""),
    ("include of a mapping over a list", {"c.yaml": "include: [a.yaml]\nl: [1]\n", "a.yaml": "l: {a: 1}\n"}, ""),
    ("nested include, first come first served", {"c.yaml": "include: [a.yaml, b.yaml]\nl: [c]\n", "a.yaml": "include: [d.yaml]\nl: [a]\n", "b.yaml": "l: [b]\n", "d.yaml": "l: [d]\n"}, ""),
    ("nested include, next to the file that names it", {"c.yaml": "include: [sub/a.yaml]\n", "sub/a.yaml": "include: [b.yaml]\n", "sub/b.yaml": "x: sub\n", "b.yaml": "x: root\n"}, ""),
    ("nested include, next to the main file", {"c.yaml": "include: [sub/a.yaml]\n", "sub/a.yaml": "include: [b.yaml]\n", "b.yaml": "x: root\n"}, ""),
    ("the same file twice", {"c.yaml": "include: [a.yaml, a.yaml, ./a.yaml]\nl: [1]\n", "a.yaml": "l: [2]\n"}, ""),
    ("the same file by two ways", {"c.yaml": "include: [a.yaml, b.yaml]\n", "a.yaml": "include: [d.yaml]\n", "b.yaml": "include: [d.yaml]\n", "d.yaml": "l: [1]\n"}, ""),
    ("include in a circle", {"c.yaml": "include: [a.yaml]\n", "a.yaml": "include: [c.yaml]\nx: 1\n"}, "D11"),
    ("include of an empty file", {"c.yaml": "include: [a.yaml]\nx: 1\n", "a.yaml": "# nothing\n"}, ""),
    ("include of a list", {"c.yaml": "include: [a.yaml]\n", "a.yaml": "- 1\n"}, ""),
    ("include of a missing file", {"c.yaml": "include: [a.yaml]\n"}, ""),
    ("include as text", {"c.yaml": "include: a.yaml\n", "a.yaml": "x: 1\n"}, "D11"),
    ("include of a number", {"c.yaml": "include: [1]\n"}, ""),
    ("include of nothing", {"c.yaml": "include: []\nx: 1\n"}, ""),
    ("include null", {"c.yaml": "include:\nx: 1\n"}, "D11"),
    ("an empty file", {"c.yaml": ""}, ""),
    ("only comments", {"c.yaml": "# x\n"}, ""),
    ("references in included files", {"c.yaml": "include: [a.yaml]\n", "a.yaml": "x: os.environ/SET\n"}, ""),
    ("a merge key and a reference", {"c.yaml": "x-b: &b {k: os.environ/SET}\nm: {<<: *b, l: 1}\n"}, ""),
    ("environment_variables", {"c.yaml": "environment_variables: {A1: text, B1: 5, C1: 1.50, D1: true, E1: os.environ/SET, F1: 1e-7, G1: 1.0e-7, PATH: x, H1: ''}\n"}, ""),
    ("environment_variables of nothing", {"c.yaml": "environment_variables: {I1: , J1: os.environ/NOPE}\n"}, "D10"),
]


def env_of(config):
    before = dict(os.environ)
    ProxyConfig()._load_environment_variables(config)
    changed = {k: v for k, v in os.environ.items() if before.get(k) != v}
    for k in changed:
        if k in before:
            os.environ[k] = before[k]
        else:
            del os.environ[k]
    return changed


async def main():
    os.environ.update(ENV)
    out = []
    for name, files, differs in CASES:
        with tempfile.TemporaryDirectory() as d:
            for f, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(d, f)), exist_ok=True)
                open(os.path.join(d, f), "w").write(text)
            case = {"name": name, "files": files, "differs": differs}
            try:
                config = dict(await ProxyConfig().get_config(os.path.join(d, "c.yaml")))
                case["config"] = config
                case["env"] = env_of(config)
            except Exception as e:
                case["error"] = str(e).replace(d + "/", "")
            out.append(case)
    json.dump({"litellm": version("litellm"), "env": ENV, "cases": out}, sys.stdout, indent=1, default=str)
    print()


asyncio.run(main())
