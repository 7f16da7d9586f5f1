#!/usr/bin/env bash
# openai 3.57.0: a streamed answer that is cut off ends like one that is finished.
#
# Guess: a stream that stops before "data: [DONE]" and without a finish_reason, as behind a proxy whose server died, raises an error.
# Behaviour: the loop over the chunks just ends, for a connection that is closed and for a chunked body that is ended; the text so
# far looks like the answer. finish_reason, which stays None, is all that tells. Only a chunked body that is torn raises.
# Seen: closed: "Hel", None, no error; ended: the same; torn: an error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check openai==3.57.0
cat > "$work/cut.py" <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai


def event(text, finish=None):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    chunk = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        how = self.path.split("/")[1]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header(*(("connection", "close") if how == "closed" else ("transfer-encoding", "chunked")))
        self.end_headers()
        body = event("Hel") + (event("lo", "stop") + b"data: [DONE]\n\n" if how == "whole" else b"")
        self.wfile.write(body if how == "closed" else b"%x\r\n%s\r\n" % (len(body), body))
        if how in ("ended", "whole"):
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True


def read(how):
    """Text, finish_reason and error of an answer."""
    client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/{how}", max_retries=0)
    text, finish, error = "", None, None
    try:
        for chunk in client.chat.completions.create(model="m", messages=[], stream=True):
            text, finish = text + chunk.choices[0].delta.content, chunk.choices[0].finish_reason
    except Exception as raised:
        error = type(raised).__name__
    return text, finish, error


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
found = {how: read(how) for how in ("whole", "closed", "ended", "torn")}
server.shutdown()
print(f"openai {openai.__version__}: {found}")
assert found["whole"] == ("Hello", "stop", None)
assert found["closed"] == found["ended"] == ("Hel", None, None), "a stream that is cut raises now"
assert found["torn"][2] is not None, "a torn body raises nothing now"
PY
NO_PROXY=127.0.0.1 "$work/env/bin/python" "$work/cut.py"
