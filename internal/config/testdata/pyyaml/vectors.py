"""Writes vectors.json: what PyYAML's safe_load makes of the inputs below.

Run it with a Python that has PyYAML 6 (python vectors.py > vectors.json); the Go
tests need only the JSON. With --live it reads texts instead, a JSON string a line,
and answers each with a case a line. Values are written as [type, text] pairs so that 1, 1.0
and "1" stay apart. For documents, "spans" lists every scalar in document order
as [byte start, byte end] of its source text, where PyYAML knows them.
"""
import base64, datetime, json, os, sys
import yaml

SCALARS = """
yes Yes YES yEs no No NO nO on On ON oN off Off OFF oFF true True TRUE tRue
false False FALSE y Y n N t f ~ null Null NULL nULL None none nil undefined
0 1 -1 +1 00 01 07 08 09 010 0010 -010 +010 0o17 0O17 0x1F 0X1F 0xff 0xFF -0x1f
0x 0x_ 0x1_f 0xg 0b101 0B101 -0b1 0b12 0b 1_000 1_000_000 _1 1_ 1__0 0_7 0_8 -_1
+ - -- ++1 +-1 1+ 1- 12a 1,000 1.000,5 1 000
12:30 1:2:3 0:30 12:60 12:5 1:59:59 12:30:45.5 0:0.5 -1:30 +1:30 24:00 1:2:3:4 01:30
190:20:30 190:20:30.15 12: :30 1:60 1:6
1. .1 . .. -.1 +.1 1.0 1.5 -1.5 +1.5 01.5 1_0.5 1_0.5_0 1.e+3 1.0e6 1.0e+6 1.0e-6
1e6 1e+6 1e-6 1E6 3e3 -1e-7 1e-7 .5e+1 .5e1 0.0 -0.0 1.2.3 1.2.3.4 1._ ._1 1.5e 1.5e+
.inf .Inf .INF -.inf +.inf -.INF inf Infinity .nan .NaN .NAN .Nan -.nan nan NaN
2024-01-01 2024-1-1 2024-06-01 24-01-01 2024-13-01 2024-02-30 2024-01-01T10:00:00Z
2024-01-01T10:00:00 2024-1-1T1:00:00 2001-12-14t21:59:43.10-05:00 2001-12-15T2:59:43.1Z
2024-01 2024 20240101 2024/01/01 2024-01-01x 2024-10-21-preview 2025-02-01-preview
<< < <<< = == => > >> | || ! !! & && * ** % %% @ @a ` `a # #a a#b a#
? ?a ?? : :: :a a: a:b a::b a:b:c http://x:1 http://h:80/p?q=1#f - -a a-b -1a - -
os.environ/KEY ${KEY} $KEY sk-1234 gpt-4o azure/gpt-4o openai/* /* *.x team-*
{ } [ ] {} [] a{b} a[b] a,b ,a , {a} [a] {{x}} [[x]] {a:b} [a,b]
'a' "a" 'a"b' "a'b" 'it''s' "a\\nb" 'a\\nb' "" '' "1" '1' "yes" 'null' "\\u00e9" "\\x41" "\\U0001F600"
"\\t" "\\e" "\\0" "\\q" "a 'a a' a" a'b a"b 'a'b "a"b
!!str !!int !!null
1h 30s 5m 10m 7d 1d 30d 600 600s 0.5 1e-06 4e-06 0.0000015 0.00000015 1.5e-7 1.5e-07
10.0.0.0/8 127.0.0.1 ::1 [::1] fe80::1 localhost:6379 redis://h:6379/0 postgresql://u:p@h:5432/d
ä über 日本 😀 naïve é "ä" 'ä' ümlaut:x
123456789012345678901234567890 -9223372036854775808 9223372036854775808 0777777777777777777777777
1e309 1.7976931348623157e+309 0x7fffffffffffffff 0xffffffffffffffffffff 9999999999999999.0
true# true#x yesno onoff On. Yes! NO, null. ~~ ~a
sk- =1 <a <<a @ `
""".split("\n")

# Words that hold blanks, or need more than one line.
SCALAR_TEXTS = [
    "a b", "a  b", "a # b", "a #b", "a: b", "a :b", "a :", "- a", "-  a", "? a", "!!str 1", "!!str yes", "!!str",
    "!!int '12'", "!!int 12", "!!int x", "!!float 1", "!!float '1.5'", "!!float x", "!!bool yes", "!!bool 'on'",
    "!!bool x", "!!null x", "!!null ''", "! 1", "! yes", "!local x", "!!binary aGk=", "!!binary '!'",
    "!!timestamp 2024-01-01", "!!set {a, b}", "!!omap [a: 1]", "!!python/name:os.system x", "!<tag:yaml.org,2002:str> 1",
    "&a b", "&a", "*a", "& a", "&a *b", "*", "* a", "1 2", "yes no", "2024-01-01 10:00:00", "2024-01-01 10:00:00 +1",
    "2001-12-14 21:59:43.10 -5", "|", ">", "|\n  a", ">\n  a", "|-\n  a\n", "|+\n  a\n\n", "|2\n    a\n", "|9\n a",
    "|x\n a", "| # c\n  a\n", "|a", "a\n  b", "a\n\n  b", "a\n  b: c", "'a\n  b'", "'a\n\n  b'", '"a\n  b"', '"a\\\n  b"',
    '"a\\n\n  b"', "'a", '"a', "'a'\n  b", '"a" b', '"a" # c', "'a' #c", "'a'#c", "[a, b]", "[a, b", "[a b]", "[a,, b]", "[,]",
    "[a,]", "{a: 1}", "{a: 1,}", "{a}", "{a, b: 1}", "{a:1}", '{"a":1}', "{'a':1}", "{a: }", "{: a}", "{? a : b}", "{a: b: c}",
    "{a: [b, {c: d}]}", "[a: b]", "[a: b, c]", "[? a]", "[a\n  , b]", "{a: 1\n  , b: 2}", "{a?b: c}", "{a: b?c}", "[http://x/?a=1]",
    "{a: http://x:1/?a=1}", "{a: ?b}", "[-1]", "[-]", "[- a]", "[a]b", "[a] b", "{a: 1} b", "[a] # c", "@a b", "`a b", "%a b",
    "a\tb", "a\t", "\ta", "'a'\t", "[a,\tb]", "a #\tb", "a\t#b", "{{ x }}", "{{ x }}y", '"{{ x }}"', "{ { x } }", "a {{ x }}",
    "\x07", "a\x00b", "a\x7fb", "a\u0085b", "a\u2028  b", "a\u00a0b", "\ufeffa", "a\ufeffb", '"\\ud83d\\ude00"', '"\\ud800"',
    '"\\x4"', '"\\u00g0"', '"a\\/b"', '"\\_\\N\\L\\P"', '"\\\n"', "'\n'", '"\n"', "''''", "'a''''b'", '"\\""', "'\\'",
    "<<: a", "a: <<", "=: a", "~: a", "--- a", "... a", "---", "...", "-", "?", ":", "- - a", "-\n  - a", "a: - b", "a: ? b",
    "a:\n- b", "a:\n - b\n- c", "? a\n: b", "? a", "? [a]\n: b", "? {a: b}\n: c", "[a]: b", "{a: b}: c", "1: a", "1.0: a", "yes: a", "2024-01-01: a",
    "'a': b", '"a": b', "'a' : b", "a : b", "&k a: b", "!!str a: b", "*k : b", "|\n a\n: b", "a: 'b': c", "a: b: c", "a: [b]: c",
]

DOCUMENTS = {
    "small gateway": "model_list:\n  - model_name: gpt\n    litellm_params:\n      model: openai/gpt-4o-mini\n      api_key: os.environ/OPENAI_API_KEY\n\nlitellm_settings:\n  request_timeout: 600\n  drop_params: true\n",
    "list not indented under its key": "model_list:\n- model_name: a\n  litellm_params:\n    model: x\n- model_name: b\n",
    "umlaut before a key": "größe: 1\nähnlich: {größe: ö, b: ü}\nb: 'ä' # ß\nc: \"ö\"\n",
    "wide characters": "日本: 語\n😀: [😀, b]\nc: d\n",
    "crlf": "a: 1\r\nb:\r\n  - c\r\n  - 'd\r\n    e'\r\nf: |\r\n  g\r\n  h\r\ni: j\r\n",
    "cr only": "a: 1\rb: 2\r",
    "byte order mark": "\ufeffa: 1\nb: 2\n",
    "byte order mark and comment": "\ufeff# hello\na: 1\n",
    "comments everywhere": "# top\na: 1 # one\n# between\nb: # nothing here\n  # inside\n  c: 2 # two\n\n  # after\n  d: [1, # x\n    2] # y\n# end\n",
    "hash in values": "a: b#c\nd: 'e # f'\ng: \"h # i\" # j\nk: l #m\n",
    "literal block": "a: |\n  one\n   two\n\n  three\nb: 1\n",
    "literal keep": "a: |+\n  one\n\n\nb: 1\n",
    "literal strip": "a: |-\n  one\n\n\nb: 1\n",
    "literal with indent": "a: |2\n    one\n   two\nb: 1\n",
    "literal at the end": "a: |\n  one",
    "literal empty": "a: |\nb: 1\n",
    "folded": "a: >\n  one\n  two\n\n  three\n    four\n  five\nb: 1\n",
    "folded strip": "a: >-\n  one\n  two\nb: >+\n  x\n\n",
    "literal in a list": "- |\n one\n two\n- >-\n one\n two\n-   - |\n     x\n",
    "literal with comment lines": "a: | # note\n  # not a comment\n  b\n # a comment\nc: 1\n",
    "multi line plain": "a: one\n  two\n\n  three\nb: x\n",
    "multi line quoted": "a: 'one\n  two\n\n  three'\nb: \"one\\\n   two\\n\n   three\"\n",
    "anchors and aliases": "a: &x 1\nb: *x\nc: &y {d: *x}\ne: *y\nf: &z\n  - 1\ng: *z\n",
    "anchor before key": "&k a: &v b\nc: *k\n? &q d\n: e\n",
    "anchor on its own line": "a: &x\n  b: 1\nc: *x\n",
    "merge": "base: &b {x: 1, y: 2}\na:\n  <<: *b\n  y: 3\nc:\n  y: 4\n  <<: *b\n",
    "merge list": "- &a {x: 1, y: 1}\n- &b {x: 2, z: 2}\n- <<: [*a, *b]\n  w: 0\n- {<<: [*b, *a], x: 9}\n",
    "merge nested": "a: &a {k: 1}\nb: &b\n  <<: *a\n  l: 2\nc:\n  <<: *b\n  m: 3\n",
    "merge twice": "a: &a {k: 1, m: 1}\nb: &b {k: 2, l: 2}\nc:\n  <<: *a\n  <<: *b\n",
    "merge of text": "a:\n  <<: b\n",
    "merge of a list with text": "a:\n  <<: [b]\n",
    "quoted merge key is a key": "a:\n  '<<': {b: 1}\n",
    "duplicate keys": "a: 1\nb: 2\na: 3\nc: {d: 1, d: 2}\n",
    "flow over lines": "a: {b: 1,\n    c: [x,\n     y],\n  d: 'e'}\nf: [\n  1,\n  2,\n]\n",
    "flow pairs": "a: [b: 1, c: 2]\nd: {e, f: }\n",
    "json": "{\"a\": [1, 2.5, \"x\", true, null], \"b\": {\"c\": \"d\\u00e4\"}}\n",
    "json over lines": "{\n  \"a\": 1,\n  \"b\": [\n    \"c\"\n  ]\n}\n",
    "empty": "",
    "only comments": "# nothing\n# here\n",
    "only a marker": "---\n",
    "marker and document": "---\na: 1\n",
    "marker with content": "--- a\n",
    "document end": "a: 1\n...\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "yaml directive": "%YAML 1.1\n---\na: 1\n",
    "yaml directive 1.2": "%YAML 1.2\n---\na: 1\n",
    "yaml directive 2.0": "%YAML 2.0\n---\na: 1\n",
    "tag directive": "%TAG !e! tag:yaml.org,2002:\n---\na: !e!str 1\n",
    "directive without document": "%YAML 1.1\na: 1\n",
    "complex keys": "? a\n: b\n? c\n? d\n: - e\n  - f\n",
    "nulls": "a:\nb: ~\nc: null\nd: ''\ne:\n  f:\n  g:\n",
    "empty list items": "-\n- a\n-\n-\n  b: 1\n",
    "nested lists": "- - a\n  - b\n- - - c\n-\n  - d\n",
    "compact mappings in lists": "- a: 1\n  b: 2\n-   c: 3\n    d:\n    - e\n- f\n",
    "numbers in keys": "1: a\n010: b\n1.5: c\nyes: d\n~: e\n",
    "same number twice": "8: a\n010: b\n0x8: c\n",
    "one and true": "1: a\ntrue: b\n1.0: c\n",
    "trailing spaces": "a: 1   \nb:   \n  c: 2  \n",
    "no final newline": "a: 1\nb: [c]",
    "tab indentation": "a:\n\tb: 1\n",
    "tab after the indentation": "a:\n  \tb: 1\n",
    "tab on an empty line": "a: 1\n\t\nb: 2\n",
    "tab after the colon": "a:\t1\n",
    "tab after a value": "a: 1\t\nb: 2\n",
    "tab inside plain text": "a: x\ty\n",
    "tab inside quotes and blocks": "b: \"x\ty\"\nc: 'x\ty'\nd: |\n  x\ty\n",
    "list at the place of a key": "a:\n  b: 1\n- c\n",
    "bad indentation": "a:\n  b: 1\n c: 2\n",
    "bad indentation of a list": "a:\n  - b\n - c\n",
    "deeper key": "a: 1\n  b: 2\n",
    "missing colon": "a: 1\nb\nc: 2\n",
    "missing colon at the end": "a: 1\nb\n",
    "missing space": "a:1\nb: 2\n",
    "documentation markup": "general_settings:\n  master_key: sk-1234\n:::warning\n**x**\n:::\n  disable_error_logs: True\n",
    "bare star": "model_list:\n  - model_name: *\n    litellm_params: {model: *}\n",
    "unknown alias": "a: *nope\n",
    "alias in itself": "a: &a [*a]\n",
    "anchor twice": "a: &x 1\nb: &x 2\nc: *x\n",
    "unclosed list": "a: [b, c\nd: 1\n",
    "unclosed mapping": "a: {b: c\n",
    "unclosed quote": "a: 'b\nc: 1\n",
    "unclosed double quote": "a: \"b\nc: 1\n",
    "stray bracket": "a: b]\nc: ]\n",
    "equals sign for colon": "router_settings:\n  fallbacks=[{\"a\": [\"b\"]}]\n",
    "percent value": "a: %x\n",
    "at value": "a: @x\n",
    "backtick value": "a: `x`\n",
    "helm template": "a: {{ .Values.x }}\n",
    "helm template block": "{{- if .Values.x }}\na: 1\n{{- end }}\n",
    "quoted helm template": "a: \"{{ .Values.x }}\"\n",
    "document marker inside quotes": "a: 'x\n--- y'\n",
    "document marker in a literal": "a: |\n---\nb: 1\n",
    "long key": "x" * 1100 + ": 1\n",
    "long quoted key": "'" + "x" * 1100 + "': 1\n",
    "multi line key": "a\n b: 1\n",
    "value on the next line": "a:\n  1\nb:\n  'c'\nd:\n  [e]\n",
    "quoted keys": "\"a b\": 1\n'c': {\"d\": 2, 'e' : 3}\n\"f\":\n  - g\n",
    "question mark keys in flow": "{? a, ? b : c}\n",
    "urls": "a: http://h:80/p?q=1&r=2#f\nb: [http://h:80/p, x]\nc: {u: http://h:80/p}\n",
    "separator u2028": "a: b\u2028c: d\n",
    "next line u0085": "a: b\u0085c: d\n",
    "production": open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../examples/medium.yaml"), encoding="utf-8").read(),
}


def value(v):
    if v is None:
        return ["null", ""]
    if isinstance(v, bool):
        return ["bool", "true" if v else "false"]
    if isinstance(v, int):
        return ["int", str(v)]
    if isinstance(v, float):
        return ["float", repr(v)]
    if isinstance(v, str):
        return ["str", v.encode("utf-16", "surrogatepass").decode("utf-16", "replace")]
    if isinstance(v, (datetime.date, datetime.datetime)):
        return ["date", ""]
    if isinstance(v, bytes):
        return ["bytes", base64.b64encode(v).decode()]
    if isinstance(v, (list, tuple)):
        return ["list", [value(i) for i in v]]
    if isinstance(v, set):
        return ["set", ""]
    if isinstance(v, dict):
        return ["map", [[value(k), value(x)] for k, x in v.items()]]
    raise TypeError(type(v))


def spans(text):
    """Byte spans of all scalars without properties, in document order."""
    out = []

    class Loader(yaml.SafeLoader):
        def compose_scalar_node(self, anchor):
            event = self.peek_event()
            tok = (event.start_mark.index, event.end_mark.index, event.style, anchor, event.tag)
            out.append(tok)
            return super().compose_scalar_node(anchor)

    try:
        list(yaml.compose_all(text, Loader))
    except Exception:
        return None
    res = []
    for s, e, style, anchor, tag in out:
        if anchor or tag:
            res.append(None)  # the mark is the one of the anchor or tag
            continue
        b = len(text[:s].encode()), len(text[:e].encode())
        if style in ("|", ">"):
            b = (b[0], -1)
        res.append(list(b))
    return res


def load(text):
    case = {"yaml": text}
    try:
        v = yaml.safe_load(text)
        case["value"] = value(v)
    except RecursionError:
        case["error"] = "recursion"
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        case["error"] = str(getattr(e, "problem", e) or e).split("\n")[0]
        if mark is not None:
            case["line"] = mark.line + 1
            case["col"] = mark.column + 1
    except Exception as e:
        case["error"] = type(e).__name__ + ": " + str(e)
    sp = spans(text)
    if sp and "error" not in case:
        case["spans"] = sp
    return case


def main():
    out = {"pyyaml": yaml.__version__, "scalars": [], "documents": []}
    words = []
    for line in SCALARS:
        words += line.split()
    seen = set()
    for w in words + SCALAR_TEXTS:
        if w in seen:
            continue
        seen.add(w)
        for shape, text in (("alone", w), ("as a value", "k: " + w + "\n"), ("in a list", "- " + w + "\n"), ("in a flow list", "[" + w + "]"), ("as a key", w + ": v\n")):
            if shape in ("alone", "in a list") and w not in SCALAR_TEXTS:
                continue
            c = load(text)
            c["name"] = w + " " + shape
            out["scalars"].append(c)
    for name, text in DOCUMENTS.items():
        c = load(text)
        c["name"] = name
        out["documents"].append(c)
    json.dump(out, sys.stdout, ensure_ascii=True, indent=0)
    print()


def live():
    for line in sys.stdin:
        print(json.dumps(load(json.loads(line)), ensure_ascii=True), flush=True)


live() if "--live" in sys.argv else main()
