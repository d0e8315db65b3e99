# SPDX-License-Identifier: Apache-2.0
"""User code that goes wrong in each way."""
import os
import sys
import threading
import time

import modal

app = modal.App("e2e-trouble")


@app.function()
def exits(code):
    print("about to exit", flush=True)
    os._exit(code)


@app.function(timeout=3)
def hangs():
    while True:
        time.sleep(1)


@app.function(memory=(64, 256), timeout=120)
def eats_memory():
    hoard = [bytearray(os.urandom(1 << 20)) for _ in range(1024)]
    return f"nothing stopped it at {len(hoard)} MiB"


@app.function()
def deep_recursion(depth=0):
    return deep_recursion.local(depth + 1)


@app.function()
def cannot_be_pickled():
    return threading.Lock()


@app.function()
def prints_much():
    for number in range(20000):
        print(f"line {number:05d} " + "x" * 80)
    sys.stderr.write("to the other stream\n")
    return "done"


@app.function()
def still_fine(number):
    return number + 1


@app.function(retries=modal.Retries(max_retries=2, initial_delay=0.1, backoff_coefficient=1.0))
def always_fails(text):
    raise RuntimeError(text)


@app.local_entrypoint()
def main():
    print(prints_much.remote())
