"""The decoding process of one GPU: ``python -m tad_core.evaluation.worker FD PARENT``; see ``pool.py``."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tad_core.signals import take_over

_ORPHAN_CHECK_S = 1.0


def main() -> None:
    """Load the model once, then decode batch after batch until the parent is gone."""
    # Ctrl-C reaches every process of the terminal: dying of it tells a parent that waits in another thread.
    take_over(signal.SIGINT, signal.SIG_DFL)
    connection = Connection(int(sys.argv[1]))
    inbox: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    threading.Thread(target=_listen, args=(connection, inbox, int(sys.argv[2])), daemon=True).start()
    slot, setup = inbox.get()

    import torch

    from tad_core.config import ModelConfig
    from tad_core.decoding import DecodeSpec, new_fitting
    from tad_core.errors import OutOfMemoryError
    from tad_core.evaluation.generate import load_for_inference
    from tad_core.evaluation.processes import decode_batch, tell_failure

    fitting = new_fitting(lambda message: connection.send(("warning", message)))
    try:
        torch.set_num_threads(setup["threads"])
        adapter = Path(setup["adapter"]) if setup["adapter"] else None
        model = load_for_inference(ModelConfig(**setup["model"]), adapter)
        connection.send(("answer", (slot, model.device.type)))
        while True:
            index, job = inbox.get()
            decoded = decode_batch(connection, model, job["prompts"], DecodeSpec(**job["spec"]), fitting)
            connection.send(("answer", (index, [asdict(one) for one in decoded])))
    except torch.OutOfMemoryError as error:
        said = str(error).splitlines()[0]
        message = (
            f"evaluate: loading the model ran out of GPU memory ({said}); free it, or use a GPU with more"
        )
        tell_failure(connection, OutOfMemoryError(message))
    except Exception as error:
        tell_failure(connection, error)


def _listen(connection: Connection, inbox: queue.Queue[tuple[int, dict[str, Any]]], parent: int) -> None:
    """Take what comes; end this process, whatever it is doing, once the parent is gone."""
    try:
        while True:
            while not connection.poll(_ORPHAN_CHECK_S):
                if os.getppid() != parent:  # another child of it may hold the socket open
                    os._exit(0)
            inbox.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)


if __name__ == "__main__":
    main()
