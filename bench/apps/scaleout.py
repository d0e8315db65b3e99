# SPDX-License-Identifier: Apache-2.0
"""One function that is called fifty times at once and holds each container."""
import os
import time

import modal

app = modal.App("bench-scaleout")


@app.function(max_containers=50, scaledown_window=2)
def member(seconds):
    began = time.time()
    time.sleep(seconds)
    return os.environ["MODAL_TASK_ID"], began
