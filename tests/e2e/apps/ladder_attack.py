# SPDX-License-Identifier: Apache-2.0
"""A program whose every token depends on all that it has in memory, and one that only waits."""
import ctypes
import hashlib
import mmap
import os
import random
import socket
import time

import modal

VERSION = 1
WARM_UP = 1000
image = modal.Image.debian_slim(python_version="3.11").env({"COLOUR": "green"})
app = modal.App("e2e-ladder-attack", image=image)
snapshotted = {"enable_memory_snapshot": True, "scaledown_window": 2}


class Tokens:
    """Made of a C array, mapped memory, a generator's frame, an interpreter's random numbers."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.array = (ctypes.c_uint64 * 4096)(*(self.random.getrandbits(64) for _ in range(4096)))
        self.mapped = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.mapped.write(self.random.randbytes(1 << 20))
        self.weights = [self.random.random() for _ in range(256)]
        self.stream = self.run()
        self.made = hashlib.sha256()

    def run(self):
        place = 0
        while True:
            word = self.array[place % 4096]
            place = (place * 31 + word + self.random.getrandbits(32)) & 0xFFFFFFFF
            self.array[place % 4096] = (word * 6364136223846793005 + place) & (1 << 64) - 1
            at = place % (1 << 20)
            self.mapped[at] = (self.mapped[at] + word) % 256
            weight = self.weights[place % 256] = (self.weights[place % 256] * 3.7) % 1.0
            yield (word ^ self.mapped[at] ^ int(weight * (1 << 40))) % 49152

    def next(self, count):
        tokens = [next(self.stream) for _ in range(count)]
        self.made.update(repr(tokens).encode())
        return tokens, self.made.hexdigest()


def answer(**more):
    return {"task": os.environ["MODAL_TASK_ID"], "version": VERSION,
            "colour": os.environ.get("COLOUR"), **more}


@app.cls(**snapshotted)
class Model:
    @modal.enter(snap=True)
    def load(self):
        self.tokens = Tokens(11)
        self.tokens.next(WARM_UP)

    @modal.method()
    def next(self, count):
        tokens, digest = self.tokens.next(count)
        return answer(tokens=tokens, digest=digest)


@app.cls(**snapshotted)
class Sized:
    size: int = modal.parameter()

    @modal.enter(snap=True)
    def load(self):
        self.items = list(range(self.size))

    @modal.method()
    def count(self):
        return answer(count=len(self.items))


@app.function(secrets=[modal.Secret.from_name("e2e-ladder-attack")], **snapshotted)
def wait(seconds=0.0):
    time.sleep(seconds)
    return answer(random=random.random(), host=socket.gethostname(), secret=os.environ["WORD"])


@app.function(**snapshotted)
def other():
    return answer(other=True)
