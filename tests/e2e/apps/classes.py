# SPDX-License-Identifier: Apache-2.0
"""Classes with state, hooks and parameters."""
import os

import modal

app = modal.App("e2e-classes")


@app.cls(scaledown_window=60)
class Counter:
    @modal.enter()
    def begin(self):
        self.entered = getattr(self, "entered", 0) + 1
        self.calls = 0

    @modal.method()
    def bump(self, by=1):
        self.calls += by
        return {"entered": self.entered, "calls": self.calls, "task": os.environ["MODAL_TASK_ID"]}

    @modal.method()
    def items(self, to):
        for number in range(to):
            yield number

    @modal.method()
    async def later(self, text):
        return text.upper()

    @modal.method()
    def setting(self, name):
        return os.environ.get(name)

    @modal.method()
    def fail(self):
        raise LookupError("a method's own error")


@app.cls()
class Greeter:
    greeting: str = modal.parameter(default="hello")
    times: int = modal.parameter(default=1)

    @modal.method()
    def greet(self, name):
        text = " ".join([f"{self.greeting} {name}"] * self.times)
        return text, os.environ["MODAL_TASK_ID"]


@app.cls(scaledown_window=2)
class Leaver:
    @modal.enter()
    def begin(self):
        print("leaver has entered")

    @modal.exit()
    def end(self):
        print("leaver has left")

    @modal.method()
    def stay(self):
        return os.environ["MODAL_TASK_ID"]


@app.cls()
class BrokenEnter:
    @modal.enter()
    def begin(self):
        raise OSError("the model file is missing")

    @modal.method()
    def use(self):
        return "never"


@app.local_entrypoint()
def main():
    print("from a class:", Counter().bump.remote(5)["calls"])
    print(Leaver().stay.remote())
