# SPDX-License-Identifier: Apache-2.0
"""Served while it is written: the test changes ANSWER in a copy of it."""
import modal

ANSWER = "the first answer"
app = modal.App("e2e-served", image=modal.Image.debian_slim().pip_install("fastapi"))


@app.function()
@modal.fastapi_endpoint(label="e2e-served-page")
def page():
    return ANSWER


@app.function()
def told(times: int = 1):
    return ANSWER * times


@app.cls(scaledown_window=2, enable_memory_snapshot=True)
class Ordered:
    @modal.enter(snap=True)
    def before_the_snapshot(self):
        print("order 1: before the snapshot")

    @modal.enter()
    def first(self):
        print("order 2: first")

    @modal.enter()
    def second(self):
        print("order 3: second")

    @modal.method()
    def work(self):
        print("order 4: work")

    @modal.exit()
    def leave(self):
        print("order 5: leave")


@app.local_entrypoint()
def main():
    Ordered().work.remote()
