#!/usr/bin/env bash
# fsspec 2026.9.0: touch empties a file that is there.
#
# Guess: fs.touch(path) does as touch and pathlib do: it makes an empty file where there is none, and gives one that is there a new time; so a
# heartbeat, a lock or a mark beside a checkpoint is kept fresh by it.
# Behaviour: a file that is there is cut to nothing, in the local filesystem, in memory and through any filesystem that wraps another, without a
# word: truncate=True is the default. With truncate=False the local one keeps the content; memory, as S3 and whatever else cannot change
# a time alone, raises NotImplementedError. pathlib's touch of the same file keeps it.
# Seen, bytes left of 7: pathlib 7, local 0, DirFileSystem 0, memory 0, local with truncate=False 7.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check fsspec==2026.9.0
cat > "$work/touch.py" <<'PY'
from pathlib import Path

import fsspec
from fsspec.implementations.dirfs import DirFileSystem

local, memory = fsspec.filesystem("file"), fsspec.filesystem("memory")
path = Path("state.json").resolve()


def left(touch):
    """Bytes of the local file after it."""
    path.write_bytes(b'{"a":1}')
    touch()
    return path.stat().st_size


memory.pipe("/state.json", b'{"a":1}')
try:
    memory.touch("/state.json", truncate=False)
    refused = False
except NotImplementedError:
    refused = True
memory.touch("/state.json")
seen = {
    "pathlib": left(path.touch),
    "local": left(lambda: local.touch(str(path))),
    "DirFileSystem": left(lambda: DirFileSystem(str(path.parent), local).touch(path.name)),
    "local, truncate=False": left(lambda: local.touch(str(path), truncate=False)),
    "memory": memory.size("/state.json"),
}
print(f"fsspec {fsspec.__version__}, bytes left of 7: {seen}; memory refuses truncate=False: {refused}")
assert seen["pathlib"] == seen["local, truncate=False"] == 7
assert seen["local"] == seen["DirFileSystem"] == seen["memory"] == 0, "touch keeps what is there now"
assert refused, "memory can touch alone now"
PY
cd "$work" && "$work/env/bin/python" "$work/touch.py"
