#!/usr/bin/env bash
# starlette 1.10.0, uvicorn 0.54.0: a stream from a plain generator is not ended when its reader leaves.
#
# Guess: StreamingResponse closes its generator when the client goes, so that a finally in it gives back the slot, the lock or the request
# that waits for a GPU; for a plain generator as for an async one.
# Behaviour: the generator is asked for nothing more, but nobody closes it: it stays where it is, in a cycle of references, until Python
# happens to collect garbage of the oldest kind, which a quiet server may not do for long. What it holds is held until then. An async
# generator is ended at once, and a plain one that an async one loops over and closes in its own finally, too.
# Seen: after the client left, finally within two seconds: async True, plain False, plain within async True; plain after gc.collect()
# True.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check starlette==1.10.0 uvicorn==0.54.0
cat > "$work/leaves.py" <<'PY'
import asyncio
import gc
import socket
import threading
import time
from importlib.metadata import version

import uvicorn
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

ended = {}


def plain(name="plain"):
    try:
        while True:
            yield b"piece"
            time.sleep(0.02)
    finally:
        ended[name] = True


async def pieces():
    try:
        while True:
            yield b"piece"
            await asyncio.sleep(0.02)
    finally:
        ended["async"] = True


async def within():
    inner = plain("plain within async")
    try:
        for piece in inner:
            yield piece
            await asyncio.sleep(0)
    finally:
        inner.close()


def route(path, make):
    async def answer(request):
        return StreamingResponse(make())

    return Route(path, answer)


app = Starlette(routes=[route("/plain", plain), route("/async", pieces), route("/within", within)])
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
end = time.monotonic() + 60
while not server.started:
    assert time.monotonic() < end, "the server does not start"
    time.sleep(0.01)
for path in ("/async", "/plain", "/within"):
    with socket.create_connection(listening.getsockname(), timeout=60) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        received = b""
        while b"piece" not in received:
            more = client.recv(1000)
            assert more, "the answer ended without a piece"
            received += more
    time.sleep(2)
seen = {name: ended.get(name, False) for name in ("async", "plain", "plain within async")}
gc.collect()
time.sleep(0.5)
late = ended.get("plain", False)
server.should_exit = True
print(f"starlette {version('starlette')}, uvicorn {version('uvicorn')}, ended when the client left: {seen}; plain after gc.collect(): {late}")
assert seen["async"] and seen["plain within async"] and late
assert not seen["plain"], "a plain generator is ended now"
PY
"$work/env/bin/python" "$work/leaves.py"
