"""Writes vectors.json: what python-dotenv makes of the texts below.

Run it with a Python that has python-dotenv; the Go tests need only the JSON.
PRESET stands for the variables that are set before the file is read.
"""
import io, json, os, sys
import dotenv

PRESET = {"HOME_X": "/home/x", "SET": "from the process", "EMPTY_SET": ""}

TEXTS = [
    "", "\n\n", "A=1", "A=1\n", "A=1\r\nB=2\r\n", "A=1\rB=2", "A = 1", " A=1", "\tA=1", "A=", "A= ", "A", "A\nB=2", "A B=2", "=1", "=",
    "export A=1", "export\tA=1", "export A", "exportA=1", "export  A = 1", "EXPORT A=1", "export export A=1",
    "# c", "# A=1\nB=2", "A=1 # c", "A=1# c", "A=1 #c", "A=#c", "A= # c", "A=b#c d #e", "A='1' # c", "A='1'# c", 'A="1" # c', "A=1\t# c",
    "A='b c'", "A='b\\'c'", "A='b\\nc'", "A='b\\\\c'", 'A="b c"', 'A="b\\"c"', 'A="b\\nc"', 'A="b\\tc\\\\d"', 'A="b\\$c"', 'A="b\\xc"', "A='b\nc'", 'A="b\nc"\nB=2',
    "A='b", 'A="b', "A='b\nB=2\n", "A='b'c", 'A="b"c\nB=2', "A=b'c'", "A=b c d", "A=b  ", "A='  b '", "A=\"\"", "A=''",
    "A=1\nB=${A}", "B=${A}\nA=1", "A=${SET}", "SET=2\nA=${SET}", "A=${NOPE}", "A=${NOPE:-d}", "A=${SET:-d}", "A=${EMPTY_SET:-d}", "A=${NOPE:-}", "A=$SET", "A='${SET}'", 'A="${SET}"',
    "A=x${SET}y${HOME_X}", "A=${SET", "A=${}", "A=${NOPE-d}", "A=${SET:+d}", "A=\\${SET}", "A=${A}", "A=1\nA=${A}2",
    "A=1\nA=2", "'A'=1", "'A B'=1", '"A"=1', "A.B=1", "A-B=1", "1A=1", "ä=ö", "A=ö", "A=a=b", "A==b", "A=http://x/?a=b#c", "A=sk-1234 # my key",
    "A: 1", "A:1\nB=2", "a b c\nB=2", "{\"a\": 1}\nB=2", "A=1;B=2", "\ufeffA=1", "A=1\n\n\n   # c\n  B=2", "A='x' B=2\nC=3", "A=\u00a01", "A=1\x0bB=2", "A=1\x0c", "A='\t'",
]


def main():
    for k, v in PRESET.items():
        os.environ[k] = v
    out = []
    for text in TEXTS:
        values = dotenv.dotenv_values(stream=io.StringIO(text), interpolate=True)
        # load_dotenv(override=False) lets the process win inside ${...}.
        values = dotenv.main.DotEnv(dotenv_path=None, stream=io.StringIO(text), interpolate=True, override=False).dict()
        out.append({"text": text, "values": [[k, v] for k, v in values.items()]})
    json.dump({"preset": PRESET, "cases": out}, sys.stdout, indent=0)
    print()


main()
