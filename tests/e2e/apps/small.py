# SPDX-License-Identifier: Apache-2.0
"""Functions that cost little, for a server that has little."""
import modal

app = modal.App("e2e-small")


@app.function()
def size(data):
    return len(data)


@app.function(scaledown_window=60)
def warm(number):
    return number + 1


@app.function()
def cold(number):
    return number + 2
