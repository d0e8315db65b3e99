# SPDX-License-Identifier: Apache-2.0
"""Functions that are called just when they scale down."""
import os

import modal

image = modal.Image.debian_slim(python_version="3.11").pip_install("fastapi==0.165.0")
app = modal.App("e2e-churn", image=image)


@app.function(scaledown_window=2)
def first(number):
    return {"number": number, "task": os.environ["MODAL_TASK_ID"]}


@app.function(scaledown_window=2, enable_memory_snapshot=True)
def second(number):
    return {"number": number, "task": os.environ["MODAL_TASK_ID"]}


@app.function(scaledown_window=2)
@modal.concurrent(max_inputs=4)
def third(number):
    return {"number": number, "task": os.environ["MODAL_TASK_ID"]}


@app.function(scaledown_window=2)
@modal.fastapi_endpoint()
def web(number: int):
    return {"number": number, "task": os.environ["MODAL_TASK_ID"]}
