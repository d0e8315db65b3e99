# SPDX-License-Identifier: Apache-2.0
"""An app whose client is interrupted while a call of it still runs."""
import time

import modal

app = modal.App("e2e-detached")


@app.function()
def sleeps(seconds):
    time.sleep(seconds)


@app.local_entrypoint()
def main():
    sleeps.spawn(8)
    raise KeyboardInterrupt
