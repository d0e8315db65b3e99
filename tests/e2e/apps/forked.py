# SPDX-License-Identifier: Apache-2.0
"""Functions that start from zero again and again."""
import os
import random
import ssl
import sys
import time
import uuid

import modal

app = modal.App("e2e-forked")
with_numpy = modal.Image.debian_slim().pip_install("numpy")
with_fastapi = modal.Image.debian_slim().pip_install("fastapi[standard]")
window = {"scaledown_window": 2}


def task():
    return os.environ["MODAL_TASK_ID"]


@app.function(**window)
def plain(value=None):
    return task(), value


@app.function(**window)
def seeds():
    return (task(), random.getrandbits(64), ssl.RAND_bytes(8).hex(), str(uuid.uuid1()),
            str(uuid.uuid4()), os.urandom(8).hex())


@app.function(image=with_numpy, **window)
def numpy_seeds():
    there = {"numpy", "multiprocessing.process"} <= set(sys.modules)
    import multiprocessing

    import numpy

    return (task(), there, float(numpy.random.random()), float(numpy.random.default_rng().random()),
            random.getrandbits(64), multiprocessing.current_process().authkey.hex())


@app.function(image=with_numpy, **window)
def was_numpy_there():
    there = "numpy" in sys.modules
    started = time.monotonic()
    import numpy

    return task(), there, time.monotonic() - started, int(numpy.ones((50, 50)).sum())


@app.function(**window)
def facts():
    status = {}
    for line in open("/proc/self/status"):
        name, _, value = line.partition(":")
        status[name] = value.strip()
    wanted = ("CapPrm", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Uid")
    return {
        "task": task(),
        **{name: status[name] for name in wanted},
        "cwd": os.getcwd(),
        "argv": sys.argv,
        "path0": sys.path[0],
        "main": sys.modules["__main__"].__spec__.name,
        "host": os.uname().nodename,
        "cmdline": open("/proc/self/cmdline").read(),
        "environ": "MODAL_TASK_ID=" + task() in open("/proc/self/environ").read(),
        "limit": open("/proc/self/oom_score_adj").read().strip(),
        "address": open("/etc/hosts").read(),
    }


@app.function(**window)
def speak(word):
    print("said", word)
    print("cried", word, file=sys.stderr)


@app.function(**window)
def fail():
    raise ValueError("as asked")


@app.function(secrets=[modal.Secret.from_dict({"FORKED_SECRET": "hidden"})], **window)
def secret():
    return task(), os.environ["FORKED_SECRET"], "FORKED_SECRET" in os.environ


@app.function(secrets=[modal.Secret.from_dict({"PYTHONHASHSEED": "7"})], **window)
def own_interpreter():
    return task(), sys.flags.hash_randomization, hash("thaw")


@app.function(**window)
def generate(count):
    for number in range(count):
        yield task(), number


@app.function(memory=(64, 256), **window)
def eat(megabytes):
    kept = [os.urandom(1 << 20) for _ in range(megabytes)]
    return task(), len(kept)


@app.function(**window)
def hold(number, seconds):
    """Keeps its container, so that each input of a map needs one of its own."""
    drawn = random.getrandbits(64)
    time.sleep(seconds)
    return task(), number, drawn


@app.function(timeout=2, retries=0, **window)
def dawdle(seconds):
    time.sleep(seconds)
    return task()


@app.cls(**window)
class Counter:
    start: int = modal.parameter(default=5)

    @modal.enter()
    def enter(self):
        self.entered = os.getpid()

    @modal.method()
    def add(self, number):
        return task(), self.start + number, self.entered == os.getpid()


@app.function(image=with_fastapi, **window)
@modal.fastapi_endpoint()
def endpoint(word: str = "none"):
    return {"task": task(), "word": word}
