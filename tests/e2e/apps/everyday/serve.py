# SPDX-License-Identifier: Apache-2.0
"""A small model behind an API, as programs that serve one are written: its weights in a volume, an
image of a Dockerfile, a GPU and memory snapshots, endpoints, batches, and a nightly job."""
import pathlib

import modal

app = modal.App("e2e-everyday")

image = modal.Image.from_dockerfile("Dockerfile.serverless", context_dir=".")
with image.imports():
    import humanize

served = modal.Image.debian_slim().pip_install("fastapi==0.165.0")
with served.imports():
    from fastapi.responses import StreamingResponse
    from pydantic import BaseModel

    class Prompt(BaseModel):
        text: str
        repeat: int = 1


weights = modal.Volume.from_name("e2e-everyday-weights", create_if_missing=True)
PLACE = pathlib.Path("/models")


@app.function(image=image)
def read_words(number):
    return humanize.intcomma(number), pathlib.Path("words.txt").read_text().split()


@app.function(volumes={PLACE: weights})
def train():
    (PLACE / "model.txt").write_text("the sea is blue")
    weights.commit()


@app.cls(
    gpu="T4",
    volumes={PLACE: weights},
    enable_memory_snapshot=True,
    experimental_options={"enable_gpu_snapshot": True},
    scaledown_window=2,
    timeout=300,
    retries=2,
)
@modal.concurrent(max_inputs=16)
class Model:
    @modal.enter(snap=True)
    def load(self):
        self.words = (PLACE / "model.txt").read_text().split()
        self.loaded = getattr(self, "loaded", 0) + 1

    @modal.enter(snap=False)
    def wake(self):
        self.woken = getattr(self, "woken", 0) + 1

    @modal.method()
    def generate(self, prompt):
        return f"{prompt} {' '.join(self.words)}", self.loaded, self.woken


@app.cls(image=served, volumes={PLACE: weights}, scaledown_window=2)
class Api:
    @modal.enter()
    def load(self):
        self.words = (PLACE / "model.txt").read_text().split()

    @modal.fastapi_endpoint(method="POST")
    def complete(self, prompt: "Prompt", limit: int = 2):
        return {"text": " ".join([prompt.text] * prompt.repeat + self.words[:limit])}

    @modal.fastapi_endpoint()
    def stream(self):
        import time

        def tokens():
            for word in self.words:
                yield word + "\n"
                while word == "the" and not (PLACE / "go").exists():
                    time.sleep(0.05)

        return StreamingResponse(tokens(), media_type="text/plain")

    @modal.fastapi_endpoint()
    def broken(self):
        raise RuntimeError("the model has no such word")


@app.function()
@modal.batched(max_batch_size=4, wait_ms=1000)
def embed(texts: list[str]) -> list[int]:
    return [len(text) * 100 + len(texts) for text in texts]


@app.function(schedule=modal.Cron("0 2 * * *"))
def nightly():
    print("every night")


@app.local_entrypoint()
def main():
    number, words = read_words.remote(1234567)
    print(f"of the Dockerfile {number} {words}")
    train.remote()
    print(f"said {Model().generate.remote('say:')[0]}")
