# SPDX-License-Identifier: Apache-2.0
"""An app whose client is interrupted while a call of it still runs."""
import time

import modal

app = modal.App("e2e-left-alone")


@app.function()
def sleeps(seconds):
    time.sleep(seconds)
    return "slept"


@app.local_entrypoint()
def main():
    print("call", sleeps.spawn(8).object_id, flush=True)
    raise KeyboardInterrupt
