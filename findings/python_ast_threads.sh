#!/usr/bin/env bash
# CPython 3.11: ast.parse in several threads at once.
#
# Guess: ast.parse is one call of C under the interpreter's lock; threads that parse at the same time wait for each other,
# and each gets its tree.
# Behaviour: making the nodes of a tree can begin a garbage collection. If anything Python is run by one (a callback in
# gc.callbacks, as hypothesis installs, or a finalizer), another thread goes on in the middle. All of them count their
# depth in one place, so one ends with "SystemError: AST constructor recursion depth mismatch", though its source is
# right. Without such a callback it is not seen, so it comes and goes with what else is imported. 3.12 does not do it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/threads.py" <<'PY'
import ast
import gc
import sys
import threading
import time

SOURCE = "def f(x):\n" + "".join(f"    y{i} = x + {i} * (x - {i})\n" for i in range(30))
failed = []


def work(depth):
    if depth:
        return work(depth - 1)
    for _ in range(200):
        try:
            ast.parse(SOURCE)
        except SystemError as error:
            failed.append(str(error))


def run(name):
    failed.clear()
    threads = [threading.Thread(target=work, args=(7 * k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinds = sorted({text.partition(" (")[0] for text in failed})
    print(name, kinds or "every tree was built")


sys.setswitchinterval(1e-6)
run("without callbacks:")
gc.callbacks.append(lambda *_: time.sleep(1e-5))
run("with a callback:")
PY
seen=$(python3.11 "$work/threads.py")
# Seen 2026-11-28, 3.11.7:
expected="without callbacks: every tree was built
with a callback: ['AST constructor recursion depth mismatch']"
python3.11 --version
echo "$seen"
[ "$seen" = "$expected" ] || { echo "behaves otherwise now"; exit 1; }
