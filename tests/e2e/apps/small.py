# SPDX-License-Identifier: Apache-2.0
"""Functions that cost little, for a server that has little."""
import time

import modal

app = modal.App("e2e-small")
# Of those that are asked a hundred things at once no more containers than show what is to be shown.


@app.function(max_containers=8)
def size(data):
    return len(data)


@app.function(max_containers=8)
def echo(data):
    return data


@app.function(max_containers=8)
def give(length):
    return bytes(length)


@app.function(max_containers=1)
@modal.concurrent(max_inputs=20)
def hold(seconds, data):
    time.sleep(seconds)
    return len(data)


@app.function()
def items(length):
    while True:
        yield bytes(length)


@app.function()
def print_much(megabytes):
    line = "x" * 999
    for _ in range(megabytes << 10):
        print(line)
    return "printed"


@app.function(scaledown_window=60)
def warm(number):
    return number + 1


@app.function()
def cold(number):
    return number + 2
