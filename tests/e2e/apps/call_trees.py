# SPDX-License-Identifier: Apache-2.0
"""Calls that make calls, in their containers."""
import os
import time

import modal

app = modal.App("e2e-trees")


@app.function()
def leaf(number):
    if number < 0:
        raise ValueError("no leaf below zero")
    return number * 2


@app.function()
def branch(number):
    return leaf.remote(number) + sum(leaf.map([1, 2, 3]))


@app.function()
def root(number):
    later = leaf.spawn(100)
    return branch.remote(number), later.object_id


@app.function()
def clumsy():
    try:
        leaf.remote(-1)
    except ValueError:
        pass
    return leaf.remote(1)


@app.function()
def slow(seconds):
    time.sleep(seconds)
    return os.environ["MODAL_TASK_ID"]


@app.cls()
class Counter:
    start: int = modal.parameter(default=0)

    @modal.method()
    def add(self, number):
        return self.start + leaf.remote(number)
