# SPDX-License-Identifier: Apache-2.0
"""What a soak calls: one function of each kind that leaves something to be taken away again."""
import os
import time

import modal

image = modal.Image.debian_slim(python_version="3.11").pip_install("fastapi==0.165.0")
app = modal.App("soak", image=image)
volume = modal.Volume.from_name("soak", create_if_missing=True)
VERSION = int(os.environ.get("SOAK_VERSION", "1"))


@app.function(scaledown_window=3)
def square(number):
    return number * number


@app.function(scaledown_window=3)
def nap(seconds):
    time.sleep(seconds)
    return seconds


@app.function(scaledown_window=3)
def echo(data: bytes):
    return data


@app.function(scaledown_window=3)
def items(count, size):
    for number in range(count):
        yield bytes([number % 256]) * size


@app.function(scaledown_window=3, retries=1)
def end(kind):
    print(f"ends by {kind}")
    if kind == "exit":
        os._exit(3)
    raise ValueError(kind)


@app.function(scaledown_window=3)
def talk(lines):
    for number in range(lines):
        print(f"{number:06d} " + "w" * 200)
    return lines


@app.function(scaledown_window=3, volumes={"/v": volume})
def keep(name, size):
    path = f"/v/{name}"
    with open(path, "wb") as file:
        file.write(os.urandom(size))
    volume.commit()
    os.remove(path)
    volume.commit()
    return size


@app.function(scaledown_window=3)
@modal.fastapi_endpoint(method="POST")
def web(body: dict):
    return {"version": VERSION, **body}


@app.cls(scaledown_window=3, enable_memory_snapshot=True)
class Model:
    @modal.enter(snap=True)
    def load(self):
        self.weights = list(range(100_000))

    @modal.method()
    def answer(self, number):
        return self.weights[number]
