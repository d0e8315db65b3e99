# SPDX-License-Identifier: Apache-2.0
"""Containers whose start waits for something far away, and computes nothing; but for the first."""
import pathlib
import time

import modal

app = modal.App("e2e-slow-starts")
volume = modal.Volume.from_name("e2e-slow-starts", create_if_missing=True)


def wait_unless_first(name):
    seen = pathlib.Path("/seen", name)
    if seen.exists():
        time.sleep(900)
    seen.touch()


@app.cls(scaledown_window=2, volumes={"/seen": volume})
class Slow:
    @modal.enter()
    def load(self):
        wait_unless_first("slow")

    @modal.method()
    def work(self):
        time.sleep(900)


@app.cls(scaledown_window=2, volumes={"/seen": volume})
class AlsoSlow:
    @modal.enter()
    def load(self):
        wait_unless_first("also slow")

    @modal.method()
    def work(self):
        time.sleep(900)


@app.function(scaledown_window=2)
def newcomer():
    return "answered"
