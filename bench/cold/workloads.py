# SPDX-License-Identifier: Apache-2.0
"""What is started from zero: each has the call that is timed and a check of what it kept.

The check is a warm call after a start, not timed: its output must equal that of the process that
booted first and was never restored or forked, and where it can be had, one made outside Thaw.
"""
import dataclasses
import hashlib
import json
import os
import pathlib
import random
import subprocess

APPS = pathlib.Path(__file__).resolve().parent / "apps"
ROOT = APPS.parents[2]
PROMPT = "The capital of France is"


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    file: str
    app: str
    cls: str  # empty: the function `run`
    call: tuple  # method, then arguments
    check: tuple = ()  # the same; empty: the timed call's own output is checked
    levels: tuple = ("L0", "L1", "L2", "L3", "L4")
    beside: str = ""  # what plain CRIU's process does after its restore: nothing, "read" or "write"
    rounds: float = 1.0  # share of the asked rounds: what takes seconds gets fewer

    @property
    def function(self):
        """As `thaw ps` names it."""
        return f"{self.cls}.*" if self.cls else "run"


HEAP = "bench-cold-heap300"
ALL = (
    Workload("trivial", "trivial.py", "bench-cold-trivial", "", ("run",), rounds=2),
    Workload("stdlib", "stdlib.py", "bench-cold-stdlib", "", ("run",)),
    Workload("numpy", "numpy_sum.py", "bench-cold-numpy", "", ("run",)),
    Workload("llm-ready", "llm.py", "bench-cold-llm", "Model", ("ready",), ("tokens", PROMPT, 8)),
    Workload("llm-first-token", "llm.py", "bench-cold-llm", "Model", ("first_token", PROMPT),
             ("tokens", PROMPT, 8)),
    Workload("heap300", "heap300.py", HEAP, "Heap", ("run",), ("digest",)),
    # A heap that is mapped from the snapshot is paid for when it is touched: here all of it is.
    Workload("heap300-read", "heap300.py", HEAP, "Heap", ("read",), ("digest",), levels=("L3",),
             beside="read"),
    Workload("heap300-written", "heap300.py", HEAP, "Heap", ("write",), ("digest",),
             levels=("L3",), beside="write"),
    Workload("torch", "torch_minilm.py", "bench-cold-torch", "Embedder", ("ready",),
             ("embed", "From zero to an answer."), rounds=0.5),
)


def heap_oracle():
    found = hashlib.sha256()
    for number in range(300):
        found.update(random.Random(number).randbytes(1 << 20))
    return found.hexdigest()


def llm_oracle():
    command = [str(ROOT / "tools/client"), "examples/llm/requirements.txt", "--no-deps"]
    found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    done = subprocess.run([f"{found.stdout.strip()}/python", "examples/llm/oracle.py", PROMPT],
                          cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    return json.loads(done.stdout)[:8]


# Made outside Thaw; the other workloads have the first booted process as their oracle.
OUTSIDE = {"trivial": lambda: 6 * 7, "heap300": heap_oracle, "heap300-read": heap_oracle,
           "heap300-written": heap_oracle, "llm-ready": llm_oracle, "llm-first-token": llm_oracle}
