# SPDX-License-Identifier: Apache-2.0
"""A function that imports numpy and uses a little of it."""
import os
import time
import uuid

import modal

WINDOW = int(os.environ.get("BENCH_WINDOW", "300"))

image = modal.Image.debian_slim(python_version="3.11").pip_install("numpy==2.3.4")
app = modal.App("bench-cold-numpy", image=image)

with image.imports():
    import numpy
INIT = {"init": uuid.uuid4().hex, "init_at": time.time()}


@app.function(enable_memory_snapshot=True, scaledown_window=WINDOW)
def run():
    made = numpy.random.default_rng(7).integers(0, 100, size=(100, 100))
    return {**INIT, "entered": time.time(), "output": int((made @ made).sum())}
