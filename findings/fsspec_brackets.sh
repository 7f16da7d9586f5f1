#!/usr/bin/env bash
# fsspec 2026.9.0: a file with brackets in its name is taken for a pattern, and its neighbour is read, copied or deleted.
#
# Guess: cat, get, copy and rm take the file that has exactly the given name, if there is one; patterns are for names that are not there.
# Behaviour: a name with [, * or ? is always a pattern. "run[1].json" is therefore run1.json: cat gives the content of that one
# (as a dict), copy copies it, rm deletes it and keeps the named one. Where nothing matches it is FileNotFoundError, though the
# file exists. exists, cat_file, get_file, rm_file, open and pipe_file take names as they are; only the local rm does as well.
# Seen in memory, with run[1].json and run1.json there: rm("run[1].json") leaves run[1].json alone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check fsspec==2026.9.0
cat > "$work/brackets.py" <<'PY'
import tempfile

import fsspec

NAMED, BESIDE = "run[1].json", "run1.json"


def made(protocol, *names):
    """A folder with these files, each of which holds its own name."""
    fs = fsspec.filesystem(protocol)
    folder = tempfile.mkdtemp() if protocol == "file" else f"/{tempfile.mktemp()[-8:]}"
    fs.makedirs(folder, exist_ok=True)
    for name in names:
        fs.pipe_file(f"{folder}/{name}", name.encode())
    return fs, folder


def left(fs, folder):
    return sorted(path.rpartition("/")[2] for path in fs.ls(folder, detail=False))


fs, folder = made("memory", NAMED, BESIDE)
read, whole = fs.cat(f"{folder}/{NAMED}"), fs.cat_file(f"{folder}/{NAMED}")
fs.copy(f"{folder}/{NAMED}", f"{folder}/copies/")
copied = fs.cat_file(f"{folder}/copies/{BESIDE}")
fs.rm(f"{folder}/copies", recursive=True)
fs.rm(f"{folder}/{NAMED}")
print(f"fsspec {fsspec.__version__}: cat {read}, cat_file {whole}, copy {copied}, left by rm {left(fs, folder)}")
assert list(read.values()) == [b"run1.json"] and whole == b"run[1].json", "cat takes the name as it is now"
assert copied == b"run1.json", "copy takes the name as it is now"
assert left(fs, folder) == [NAMED], "rm takes the name as it is now"

alone, folder = made("memory", NAMED)
try:
    missing = alone.cat(f"{folder}/{NAMED}")
except FileNotFoundError:
    missing = "FileNotFoundError"
print(f"  cat of the only file: {missing}, exists: {alone.exists(f'{folder}/{NAMED}')}")
assert missing == "FileNotFoundError" and alone.exists(f"{folder}/{NAMED}")

local, folder = made("file", NAMED, BESIDE)
read = local.cat(f"{folder}/{NAMED}")
local.rm(f"{folder}/{NAMED}")
print(f"  local: cat {[*read.values()]}, left by rm {left(local, folder)}")
assert list(read.values()) == [b"run1.json"] and left(local, folder) == [BESIDE]
PY
"$work/env/bin/python" "$work/brackets.py"
