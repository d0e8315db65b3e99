# SPDX-License-Identifier: Apache-2.0
"""A program of 2024, in the words of that time."""
import os
import pathlib

import modal

stub = modal.Stub("e2e-stub")
image = modal.Image.debian_slim().pip_install("fastapi==0.115.0", "six==1.17.0")
beside = pathlib.Path(__file__).parent / "e2e_package"


@stub.function()
def square(number: int):
    print("the container has", modal.__version__)
    return number**2


@stub.function(gpu="A100")
def by_name():
    return os.path.exists("/dev/nvidia0")


@stub.function(gpu=modal.gpu.A100(count=1, size="40GB"), container_idle_timeout=2)
def by_class():
    return os.path.exists("/dev/nvidia0")


@stub.function(keep_warm=1, container_idle_timeout=2, allow_concurrent_inputs=4, timeout=60)
async def together(number, tag):
    import asyncio

    together.seen = getattr(together, "seen", set()) | {number}
    for _ in range(200):
        if len(together.seen) >= 3:
            break
        await asyncio.sleep(0.05)
    return f"{tag}{number} of {len(together.seen)}"


@stub.function(
    secrets=[modal.Secret.from_dict({"GREETING": "hello"})],
    mounts=[modal.Mount.from_local_dir(beside, remote_path="/root/beside")],
)
def surroundings():
    return os.environ["GREETING"], sorted(os.listdir("/root/beside"))


@stub.function(serialized=True)
def pickled(number):
    return square.remote(number) + 1


@stub.function()
def counting(until):
    yield from range(until)


@stub.function(container_idle_timeout=60)
def sleeping(seconds):
    import time

    time.sleep(seconds)
    return os.getpid()


@stub.function()
def failing():
    raise ValueError("as it was then")


@stub.cls(container_idle_timeout=2, gpu="T4", image=image)
class Model:
    def __init__(self, name="none", size=1):
        self.name, self.size = name, size

    @modal.build()
    def download(self):
        print("downloading the weights")
        pathlib.Path("/weights.txt").write_text("weights of the build")

    @modal.enter()
    def load(self):
        self.loaded = getattr(self, "loaded", 0) + 1
        self.weights = pathlib.Path("/weights.txt").read_text()

    @modal.method()
    def generate(self, prompt):
        return f"{self.name}/{self.size}/{self.loaded}: {prompt}"

    @modal.method()
    def of_weights(self):
        return self.weights

    @modal.method()
    def tokens(self, prompt):
        yield from prompt.split()

    @modal.web_endpoint(method="POST")
    def web(self, item: dict):
        return {"prompt": item["prompt"], "loaded": self.loaded}


@stub.function(image=image)
@modal.web_endpoint()
def page(name: str = "nobody"):
    import six

    return {"name": name, "six": six.__version__}


@stub.function(image=image)
@modal.asgi_app()
def asgi():
    import fastapi

    app = fastapi.FastAPI()

    @app.get("/deep/{number}")
    def deep(number: int):
        return {"square": number**2}

    return app


@stub.local_entrypoint()
def main(number: int = 42):
    for line in (
        f"the square is {square.remote(number)}",
        f"{list(square.map(range(4)))} {square.spawn(5).get()}",
        f"GPU {by_name.remote()} {by_class.remote()}",
        f"{list(together.starmap([(n, 'n') for n in range(3)]))}",
        f"{surroundings.remote()}",
        f"pickled {pickled.remote(3)}",
        f"{list(counting.remote_gen(3))}",
        f"{Model().generate.remote('a')} {Model('big', size=7).generate.remote('b')}",
        f"{list(Model('big').tokens.remote_gen('one two'))}",
        f"{Model().of_weights.remote()}",
        f"{sorted(Model('big').generate.map(['c', 'd']))}",
    ):
        print(line)
    try:
        failing.remote()
    except ValueError as error:
        print(f"it failed: {error}")
