#!/usr/bin/env bash
# huggingface_hub 2.4.0: "*.safetensors" fetches every folder's weights, and "**/*.json" leaves out those at the top.
#
# Guess: patterns of snapshot_download, upload_folder and hf download --include are those of a shell (the documentation calls them standard
# wildcards, or globbing): "*.json" is what lies at the top, "**/*.json" all of them, at any depth and at the top.
# Behaviour: the whole path is matched by fnmatch, where * goes over slashes and ** is no more than *. "*.safetensors" takes the weights of
# every sub-folder, too (other formats of the same model, intermediate checkpoints: many times the size); "**/*.json" needs a slash, so that
# config.json is missing. "./*.json", and a folder without its slash, match nothing, which only a line in the log says. To get the top
# alone, add ignore_patterns="*/*"; for every depth, "*.json".
# Seen, of config.json, model.safetensors and the same two in original/: *.safetensors 2, *.safetensors without */* 1, **/*.json 1 (in
# original), original/ 2, original 0, ./*.json 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check huggingface_hub==2.4.0
cat > "$work/patterns.py" <<'PY'
import hashlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FILES = ["config.json", "model.safetensors", "original/config.json", "original/model.safetensors"]
COMMIT = "0" * 40


class Hub(BaseHTTPRequestHandler):
    """A hub with one model of four small files."""

    def do_GET(self):
        path = self.path.split("?")[0]
        if path.startswith("/api/models/one/model/revision/"):
            body = {"id": "one/model", "sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]}
        elif path.startswith("/api/models/one/model/tree/"):
            body = [{"type": "file", "path": name, "size": len(name), "oid": "1" * 40} for name in FILES]
        elif path.startswith("/one/model/resolve/"):
            body = path.split(f"/{COMMIT}/")[1]
        else:
            self.send_error(404)
            return
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"

import huggingface_hub


def fetched(number, allow, ignore=None):
    folder = Path(f"fetched{number}").resolve()
    huggingface_hub.snapshot_download("one/model", allow_patterns=allow, ignore_patterns=ignore, local_dir=folder)
    return [name for name in FILES if (folder / name).is_file()]


asked = [("*.safetensors",), ("*.safetensors", "*/*"), ("**/*.json",), ("*.json",), ("original/",), ("original",), ("./*.json",)]
seen = {patterns: fetched(i, *patterns) for i, patterns in enumerate(asked)}
print(f"huggingface_hub {huggingface_hub.__version__}, fetched by (allow, ignore):")
for patterns, names in seen.items():
    print(f"  {patterns}: {names}")
assert seen["*.safetensors", "*/*"] == ["model.safetensors"] and seen["original/",] == FILES[2:]
assert seen["*.safetensors",] == ["model.safetensors", "original/model.safetensors"], "* ends at a slash now"
assert seen["*.json",] == ["config.json", "original/config.json"]
assert seen["**/*.json",] == ["original/config.json"], "** is nothing as well now"
assert seen["original",] == seen["./*.json",] == [], "other ways to name the top or a folder work now"
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=0 HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_PROGRESS_BARS=1 "$work/env/bin/python" "$work/patterns.py"
