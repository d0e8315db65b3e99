# SPDX-License-Identifier: Apache-2.0
"""Plain functions to call in every way that the client knows."""
import hashlib
import os
import time

import modal

app = modal.App("e2e-calls")
VERSION = int(os.environ.get("E2E_VERSION", "1"))


class Custom(Exception):
    def __init__(self, code, text):
        super().__init__(code, text)
        self.code = code
        self.text = text


@app.function()
def square(number):
    return number**2


@app.function()
def add(left, right=10):
    return left + right


@app.function()
def odd_only(number):
    if number % 2 == 0:
        raise ValueError(f"{number} is even")
    return number


@app.function()
def fail(kind):
    if kind == "custom":
        raise Custom(7, "made by the test")
    return {"zero": lambda: 1 / 0, "key": lambda: {}["absent"]}[kind]()


@app.function()
def count(to, pause=0.0):
    for number in range(to):
        yield {"number": number, "made_at": time.time()}
        time.sleep(pause)


@app.function()
def slow(seconds):
    time.sleep(seconds)
    return os.environ["MODAL_TASK_ID"]


@app.function()
def digest(data: bytes):
    return hashlib.sha256(data).hexdigest()


@app.function()
def zeros(size: int):
    return bytes(size)


@app.function(serialized=True)
def serialized(number):
    return number + 1


@app.function()
def calls_another(number):
    return add.remote(square.remote(number), 1)


@app.function()
async def async_square(number):
    return number**2


@app.function(serialized=True, name="version")
def version_of(_version=VERSION):
    return _version
