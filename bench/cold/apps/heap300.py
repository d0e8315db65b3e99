# SPDX-License-Identifier: Apache-2.0
"""300 MB of private memory, made at start: what a model that is not mapped from a file costs."""
import os
import time
import uuid

import modal

WINDOW = int(os.environ.get("BENCH_WINDOW", "300"))
BLOCK, BLOCKS, PAGE = 1 << 20, 300, 4096

app = modal.App("bench-cold-heap300", image=modal.Image.debian_slim(python_version="3.11"))


def fill():
    """Blocks of which no two pages are equal, so that nothing can be shared or packed."""
    import random

    return [bytearray(random.Random(n).randbytes(BLOCK)) for n in range(BLOCKS)]


@app.cls(enable_memory_snapshot=True, scaledown_window=WINDOW)
class Heap:
    @modal.enter(snap=True)
    def load(self):
        self.blocks = fill()
        self.init = {"init": uuid.uuid4().hex, "init_at": time.time()}

    @modal.method()
    def run(self):
        entered = time.time()
        touched = sum(block[len(block) // 2] for block in self.blocks)
        return {**self.init, "entered": entered, "output": touched}

    @modal.method()
    def read(self):
        """Every page is read: what was mapped lazily is paid for here."""
        entered = time.time()
        touched = sum(sum(block[::PAGE]) for block in self.blocks)
        return {**self.init, "entered": entered, "output": touched}

    @modal.method()
    def write(self):
        """Every page is written, with what stood there."""
        entered = time.time()
        for block in self.blocks:
            block[::PAGE] = block[::PAGE]
        return {**self.init, "entered": entered, "output": len(self.blocks)}

    @modal.method()
    def digest(self):
        """All of it, slowly: that a restored heap is the one that was filled."""
        import hashlib

        found = hashlib.sha256()
        for block in self.blocks:
            found.update(block)
        return found.hexdigest()
