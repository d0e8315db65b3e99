# SPDX-License-Identifier: Apache-2.0
"""The least that a function can do: what is left is Thaw and the client."""
import os
import time
import uuid

import modal

WINDOW = int(os.environ.get("BENCH_WINDOW", "300"))
INIT = {"init": uuid.uuid4().hex, "init_at": time.time()}

app = modal.App("bench-cold-trivial", image=modal.Image.debian_slim(python_version="3.11"))


@app.function(enable_memory_snapshot=True, scaledown_window=WINDOW)
def run():
    return {**INIT, "entered": time.time(), "output": 6 * 7}


@app.function(enable_memory_snapshot=True, scaledown_window=WINDOW)
def hold(number, seconds):
    """Keeps its container, so that each input of a map needs one of its own."""
    entered = time.time()
    time.sleep(seconds)
    return {**INIT, "entered": entered, "number": number, "task": os.environ["MODAL_TASK_ID"]}
