# SPDX-License-Identifier: Apache-2.0
"""Functions that are given other options when they are called."""
import os
import time

import modal

app = modal.App("e2e-options")


@app.function(env={"COLOUR": "red"}, scaledown_window=3)
def told(name):
    return os.environ.get(name), os.environ["MODAL_TASK_ID"]


@app.function(max_containers=1)
def meets(seconds):
    began = time.time()
    time.sleep(seconds)
    return began, time.time(), os.environ["MODAL_TASK_ID"]


@app.function(max_containers=1, scaledown_window=30)
def doubled(numbers):
    """Of one number, or of a batch of them."""
    if isinstance(numbers, list):
        return [(2 * number, len(numbers)) for number in numbers]
    return 2 * numbers, 0


@app.function(max_containers=1)
@modal.concurrent(max_inputs=3)
@modal.batched(max_batch_size=2, wait_ms=500)
def both(numbers):
    began = time.time()
    time.sleep(1.5)
    return [(number, len(numbers), began, time.time()) for number in numbers]


@app.function()
def readable():
    return os.listdir("/there")
