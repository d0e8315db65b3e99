# SPDX-License-Identifier: Apache-2.0
"""A model that is kept warm by a ping, and one that always has a container."""
import os
import time

import modal

app = modal.App("e2e-chat")
image = modal.Image.debian_slim(python_version="3.11").pip_install("fastapi==0.165.0")
loads = modal.Dict.from_name("e2e-chat-loads", create_if_missing=True)


@app.cls(image=image, gpu="A10G", scaledown_window=120, timeout=300, retries=2)
@modal.concurrent(max_inputs=16)
class Model:
    @modal.enter()
    def load(self):
        self.loaded = time.time()
        loads[os.environ["MODAL_TASK_ID"]] = loads.get(os.environ["MODAL_TASK_ID"], 0) + 1

    @modal.method()
    def generate(self, prompt: str, seconds: float = 0.0):
        time.sleep(seconds)
        return f"{prompt}, and so on", os.environ["MODAL_TASK_ID"], self.loaded

    @modal.fastapi_endpoint(method="POST")
    def chat(self, body: dict):
        return {"text": f"{body['prompt']}, and so on", "task": os.environ["MODAL_TASK_ID"]}


@app.cls(image=image, min_containers=1, scaledown_window=600)
class Kept:
    @modal.enter()
    def load(self):
        self.loaded = time.time()

    @modal.method()
    def generate(self, prompt: str):
        return f"{prompt}, and so on", self.loaded


@app.function(schedule=modal.Cron("*/5 * * * *"))
def keep_warm():
    return Model().generate.remote("ping")


@app.function(schedule=modal.Period(hours=6))
def refresh():
    return "refreshed"


@app.function(timeout=2, retries=1)
def too_slow(key: str):
    loads[key] = loads.get(key, 0) + 1
    time.sleep(60)


@app.local_entrypoint()
def main(prompt: str = "once"):
    print("it says:", Model().generate.remote(prompt)[0])
