# SPDX-License-Identifier: Apache-2.0
"""The same handler on Thaw: as endpoints of the client's runtime, and as uvicorn behind Thaw."""
import os
import pathlib
import subprocess
import uuid

import modal

HERE = pathlib.Path(__file__).resolve().parent
WINDOW = int(os.environ.get("BENCH_WINDOW", "120"))
if modal.is_local():
    SMOLLM = HERE.parents[1] / "examples/llm/smollm.py"
else:
    SMOLLM = pathlib.Path("/root/smollm.py")

# The very packages of the uvicorn peer.
image = (
    modal.Image.debian_slim(python_version="3.11")
    .pip_install_from_requirements(HERE / "uvicorn/requirements.txt", extra_options="--no-deps")
    .env({"HF_HUB_OFFLINE": "1"})
    .add_local_file(SMOLLM, "/root/smollm.py", copy=True)
    .add_local_file(HERE / "handler.py", "/root/handler.py", copy=True)
    .add_local_file(HERE / "uvicorn/server.py", "/root/server.py", copy=True)
)
app = modal.App("bench-peers", image=image)
OPTIONS = {"enable_memory_snapshot": True, "scaledown_window": WINDOW}


@app.cls(**OPTIONS)
@modal.concurrent(max_inputs=64)
class Trivial:
    @modal.enter(snap=True)
    def load(self):
        import handler

        self.answer_of = handler.load("trivial")
        self.init = uuid.uuid4().hex

    @modal.fastapi_endpoint(method="POST")
    async def answer(self, question: dict):
        return self.answer_of(question["text"])

    @modal.method()
    def born(self):
        """Names the start that `load` ran in."""
        return self.init


@app.cls(**OPTIONS)
@modal.concurrent(max_inputs=64)
class Model:
    @modal.enter(snap=True)
    def load(self):
        import handler

        self.answer_of = handler.load("llm")
        self.init = uuid.uuid4().hex

    @modal.fastapi_endpoint(method="POST")
    async def answer(self, question: dict):
        return self.answer_of(question["text"])

    @modal.method()
    def born(self):
        """Names the start that `load` ran in."""
        return self.init


@app.function(**OPTIONS)
@modal.concurrent(max_inputs=64)
@modal.web_server(8000, startup_timeout=60)
def served():
    environment = {**os.environ, "PEER_WORKLOAD": "trivial"}
    subprocess.Popen(
        ["python", "-m", "uvicorn", "server:app", "--host", "0.0.0.0", "--port", "8000", "--loop",
         "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"],
        cwd="/root", env=environment)
