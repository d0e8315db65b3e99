# SPDX-License-Identifier: Apache-2.0
"""What every 1.x client understands: a function, a class with a snapshot, a web endpoint, a map."""
import modal

app = modal.App("e2e-versions")


@app.function()
def square(number):
    print("the container has", modal.__version__)
    return number**2


def carriers():
    """What carries the RPCs of this container."""
    from grpclib._registry import channels

    return {type(c._protocol).__module__ for c in list(channels) if c._protocol is not None}


@app.function()
def carrier():
    return carriers()


@app.function(secrets=[modal.Secret.from_dict({"THAW_FAST_RPC": "0"})])
def own_carrier():
    return carriers()


@app.cls(scaledown_window=5, enable_memory_snapshot=True)
class Counter:
    @modal.enter(snap=True)
    def load(self):
        self.start = 10

    @modal.method()
    def add(self, number):
        return self.start + number

    @modal.method()
    def count(self, until):
        yield from range(until)


with_six = modal.Image.debian_slim().pip_install("fastapi==0.165.0", "six==1.17.0")


@app.function(image=with_six.run_commands("uv pip install --system humanize==4.13.0"))
@modal.fastapi_endpoint()
def web():
    import humanize
    import six

    return {"six": six.__version__, "humanize": humanize.__version__}


@app.local_entrypoint()
def main():
    # Each line in one piece: containers print too.
    for line in (
        f"the square is {square.remote(42)}",
        f"{list(square.map(range(4)))} {square.spawn(5).get()}",
        " ".join(["carried by", *carrier.remote(), "and", *own_carrier.remote()]),
        f"{Counter().add.remote(3)} {list(Counter().count.remote_gen(3))}",
    ):
        print(line)
    try:
        square.remote("x")
    except TypeError as error:
        print(f"it failed: {error}")
