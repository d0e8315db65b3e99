# SPDX-License-Identifier: Apache-2.0
"""A function that takes long, for tests that end things in the middle."""
import os
import time

import modal

app = modal.App("e2e-sleeper")


@app.function(timeout=600)
def sleep(seconds, mark="unmarked"):
    print(f"sleeping {mark} in {os.environ['MODAL_TASK_ID']}")
    time.sleep(seconds)
    return os.environ["MODAL_TASK_ID"]


@app.local_entrypoint()
def main(seconds: float = 300):
    sleep.remote(seconds)
