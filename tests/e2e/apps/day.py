# SPDX-License-Identifier: Apache-2.0
"""What somebody runs again and again while it is written. The test changes the number."""
import os
import pathlib

import modal

NUMBER = 0

app = modal.App(f"e2e-day-{NUMBER}")
image = modal.Image.debian_slim(python_version="3.11")
image = image.add_local_file("beside.txt", "/root/beside.txt")
secret = modal.Secret.from_dict({"RUN": str(NUMBER)})


@app.function(image=image, secrets=[secret])
def beside():
    print(f"in the container of run {NUMBER}")
    return os.environ["RUN"], pathlib.Path("/root/beside.txt").read_text()


@app.function(image=image)
def large(data):
    return data[::-1]


@app.function(image=image)
def pieces(count):
    yield from range(count)


@app.cls(image=image)
class Counter:
    start: int = modal.parameter(default=0)

    @modal.method()
    def add(self, number):
        return self.start + number


@app.local_entrypoint()
def main():
    number, text = beside.remote()
    assert (number, text) == (str(NUMBER), f"{NUMBER}\n" * 1000)
    data = os.urandom(3 << 20)
    assert large.remote(data) == data[::-1]
    assert list(pieces.remote_gen(3)) == [0, 1, 2]
    assert Counter(start=NUMBER).add.remote(1) == NUMBER + 1
    assert sorted(large.map([b"ab", b"cd"])) == [b"ba", b"dc"]
    print(f"run {NUMBER} is done")
