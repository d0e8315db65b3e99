# SPDX-License-Identifier: Apache-2.0
"""What programs in other languages call: functions, a class, a page."""
import hashlib
import os
import signal
import time

import modal

app = modal.App("e2e-languages")


@app.function()
def echo(*args, **kwargs):
    return {"args": list(args), "kwargs": kwargs}


@app.function()
def describe(value):
    return f"{type(value).__name__} {value!r}"


@app.function()
def add(left, right=10):
    return left + right


@app.function()
def fail(number):
    print(f"about to fail with {number}")
    raise ValueError(f"there is no number {number}")


@app.function()
def slow(seconds, answer="done"):
    time.sleep(seconds)
    return answer


@app.function(timeout=1)
def too_long():
    time.sleep(60)


@app.function()
def die():
    os.kill(os.getpid(), signal.SIGKILL)


@app.function()
def count(to):
    yield from range(to)


@app.function()
def digest(data: bytes):
    return [len(data), hashlib.sha256(data).hexdigest()]


@app.function()
def make(size):
    return b"x" * size


@app.function()
def setting(name):
    return os.environ.get(name)


@app.function()
@modal.wsgi_app()
def page():
    def answer(environ, start_response):
        start_response("200 OK", [("content-type", "text/plain")])
        return [b"a page of " + environ["PATH_INFO"].encode()]

    return answer


@app.cls()
class Plain:
    @modal.enter()
    def begin(self):
        self.calls = 0

    @modal.method()
    def bump(self, by=1):
        self.calls += by
        return self.calls

    @modal.method()
    def fail(self):
        raise LookupError("a method's own error")


@app.cls()
class Greeter:
    greeting: str = modal.parameter(default="hello")
    times: int = modal.parameter(default=1)
    loud: bool = modal.parameter(default=False)

    @modal.method()
    def greet(self, name, end=""):
        text = " ".join([f"{self.greeting} {name}"] * self.times) + end
        return text.upper() if self.loud else text

    @modal.method()
    def setting(self, name):
        return os.environ.get(name)
