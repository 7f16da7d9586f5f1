#!/usr/bin/env bash
# psutil 7.2.2 with Python's own subprocess: a child that was killed for its time has ended with 0, as one that did its work.
#
# Guess: psutil.wait_procs looks whether processes still run; how a child ended stays with the Popen that started it, which says -15
# after a SIGTERM.
# Behaviour: for a child of this process it takes the status, which the system gives once. Popen.wait() finds no child, and makes 0
# of that: a training that was stopped at its limit counts as one that ended well. With Popen.poll() in a loop it is -15.
# Seen: psutil -15, Popen 0; without psutil -15.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check psutil==7.2.2
cat > "$work/status.py" <<'PY'
import subprocess
import sys
import time

import psutil


def stopped():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    child.terminate()
    return child


child = stopped()
(ended,), _ = psutil.wait_procs([psutil.Process(child.pid)], timeout=10)
told, kept = ended.returncode, child.wait()
alone = stopped()
while alone.poll() is None:
    time.sleep(0.01)
print(f"psutil {told}, Popen {kept}; without psutil {alone.returncode}")
assert (told, alone.returncode) == (-15, -15), "a stopped child ends otherwise now"
assert kept == 0, "Popen knows how the child ended now"
PY
"$work/env/bin/python" "$work/status.py"
