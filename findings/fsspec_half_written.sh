#!/usr/bin/env bash
# fsspec 2026.9.0, s3fs 2026.9.0: a file whose writing failed is there, with what was written so far.
#
# Guess: an object of S3 appears whole or not at all, so an exception within "with fs.open(path, 'wb') as file" leaves no object, or the
# one that was there: nothing is published before the end of the block, and an upload in parts can be aborted.
# Behaviour: leaving the block by an exception closes the file as at its end, which uploads the rest and completes the upload. What is
# there then is cut, under the final name, in the place of what stood there; the memory filesystem does the same. Within
# "with fs.transaction" the old object stays.
# Seen: after 24 bytes and an exception an object of 24 bytes, in the place of an old one; with 6 MiB (an upload in parts) likewise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check fsspec==2026.9.0 s3fs==2026.9.0 "moto[server]==5.1.12"
cat > "$work/half.py" <<'PY'
import contextlib
import logging

import fsspec
import s3fs
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)


class Failed(Exception):
    pass


def after_a_failure(fs, path, size, in_transaction=False):
    """The size of what is there after writing failed behind so many bytes; it was 3."""
    fs.pipe_file(path, b"old")
    with contextlib.suppress(Failed), fs.transaction if in_transaction else contextlib.nullcontext():
        with fs.open(path, "wb") as file:
            file.write(b"x" * size)
            raise Failed
    fs.invalidate_cache()
    return fs.info(path)["size"]


server = ThreadedMotoServer(port=0, verbose=False)
server.start()
try:
    host, port = server.get_host_and_port()
    s3 = s3fs.S3FileSystem(key="a", secret="b", endpoint_url=f"http://{host}:{port}")
    s3.mkdir("bucket")
    memory = fsspec.filesystem("memory")
    seen = {
        "S3": after_a_failure(s3, "bucket/small", 24),
        "S3 in parts": after_a_failure(s3, "bucket/large", 6 * 2**20),
        "S3 in a transaction": after_a_failure(s3, "bucket/kept", 24, in_transaction=True),
        "memory": after_a_failure(memory, "/small", 24),
    }
finally:
    server.stop()
print(f"s3fs {s3fs.__version__}, fsspec {fsspec.__version__}, bytes after a failure, 3 before: {seen}")
assert seen["S3 in a transaction"] == 3
assert seen["S3"] == seen["memory"] == 24 and seen["S3 in parts"] == 6 * 2**20, "a failed write leaves what was there now"
PY
"$work/env/bin/python" "$work/half.py"
