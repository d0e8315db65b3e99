# SPDX-License-Identifier: Apache-2.0
"""Functions whose number of containers is the point."""
import os
import time

import modal

app = modal.App("e2e-scaling")
ready = False


def task():
    return os.environ["MODAL_TASK_ID"]


@app.function(scaledown_window=2)
def short_window():
    return task()


@app.function(scaledown_window=600)
def long_window():
    return task()


@app.function(min_containers=1, scaledown_window=2)
def kept_warm():
    return task()


@app.function(max_containers=1)
def alone(seconds):
    time.sleep(seconds)
    return task()


@app.function(max_containers=3)
def apart(seconds):
    time.sleep(seconds)
    return task()


@app.function(max_containers=1)
@modal.concurrent(max_inputs=16)
def together(seconds):
    time.sleep(seconds)
    return task()


@app.function(max_containers=1)
@modal.batched(max_batch_size=4, wait_ms=1000)
def batched(numbers):
    return [(number, len(numbers)) for number in numbers]


@app.function(single_use_containers=True)
def once():
    return task()


@app.function(scaledown_window=2)
def costly(number):
    """Its first call does what imports do in others."""
    global ready
    begun = time.process_time()
    while time.process_time() - begun < (0.02 if ready else 1.0):
        pass
    ready = True
    return task()


# What shapes an interpreter: no other function's containers come from the same template.
new_image = modal.Image.debian_slim(python_version="3.11").env({"MALLOC_ARENA_MAX": "3"})


@app.function(scaledown_window=2, image=new_image)
def waits_in_a_new_image(number):
    time.sleep(1)
    return task()


@app.function(scaledown_window=2)
def waits(number):
    time.sleep(1)
    return task()


@app.local_entrypoint()
def many_first_calls():
    for name in waits_in_a_new_image.map(range(60)):
        print(name)
