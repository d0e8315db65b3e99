# SPDX-License-Identifier: Apache-2.0
"""The first program: one function that runs in a container, called from here.

    modal run examples/get_started/get_started.py
"""
import modal

app = modal.App("example-get-started")


@app.function()
def square(x):
    print("This code is running on a remote worker!")
    return x**2


@app.local_entrypoint()
def main():
    print("the square is", square.remote(42))
