# SPDX-License-Identifier: Apache-2.0
"""Functions that want more of a small server than there is."""
import os
import time

import modal

app = modal.App("e2e-shares")


def task():
    return os.environ["MODAL_TASK_ID"]


@app.cls(min_containers=3, scaledown_window=300)
class Greedy:
    @modal.method()
    def work(self, seconds):
        time.sleep(seconds)
        return task()

    @modal.exit()
    def leave(self):
        print("the exit hook ran", flush=True)


@app.function(scaledown_window=300)
def holds(seconds):
    time.sleep(seconds)
    return task()


@app.function(scaledown_window=300)
def newcomer():
    return task()
