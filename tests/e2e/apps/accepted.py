# SPDX-License-Identifier: Apache-2.0
"""Work that is under way when its container would rather go."""
import os
import time

import modal

app = modal.App("e2e-accepted")

@app.function(scaledown_window=2, max_containers=1)
@modal.batched(max_batch_size=8, wait_ms=5000)
def batched(seconds):
    time.sleep(max(seconds))
    return [(os.environ["MODAL_TASK_ID"], len(seconds)) for _ in seconds]


@app.function()
def plain(seconds):
    time.sleep(seconds)
    return os.environ["MODAL_TASK_ID"]
