# SPDX-License-Identifier: Apache-2.0
"""What maps are made of: nothing, waiting, a costly first call; without limits and with some."""
import os
import time

import modal

app = modal.App("bench-maps", image=modal.Image.debian_slim(python_version="3.11"))
ready = False


def burn(seconds):
    begun = time.process_time()
    while time.process_time() - begun < seconds:
        pass


def task():
    return os.environ["MODAL_TASK_ID"]


def after_a_costly_start(start, each):
    """As a program does that imports much when it is asked first."""
    global ready
    if not ready:
        burn(start)
        ready = True
    burn(each)
    return task()


@app.function(scaledown_window=2)
def trivial(number):
    return task()


@app.function(scaledown_window=2, max_containers=1)
def trivial_1(number):
    return task()


@app.function(scaledown_window=2, max_containers=2)
def trivial_2(number):
    return task()


@app.function(scaledown_window=2, max_containers=4)
def trivial_4(number):
    return task()


@app.function(scaledown_window=2)
def costly(number):
    return after_a_costly_start(3, 0.05)


@app.function(scaledown_window=2, max_containers=1)
def costly_1(number):
    return after_a_costly_start(3, 0.05)


@app.function(scaledown_window=2, max_containers=2)
def costly_2(number):
    return after_a_costly_start(3, 0.05)


@app.function(scaledown_window=2, max_containers=4)
def costly_4(number):
    return after_a_costly_start(3, 0.05)


@app.function(scaledown_window=2)
def sleeps(number):
    time.sleep(1)
    return task()


@app.function(scaledown_window=2)
def sleeps_too(number):
    time.sleep(1)
    return task()
