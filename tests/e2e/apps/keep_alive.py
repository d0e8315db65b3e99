# SPDX-License-Identifier: Apache-2.0
"""Functions that name no window: the server decides how long their container stays."""
import os

import modal

app = modal.App("e2e-keep-alive")


@app.function()
def no_window():
    return os.environ["MODAL_TASK_ID"]


@app.function(scaledown_window=2)
def window():
    return os.environ["MODAL_TASK_ID"]


@app.function()
def called_by_a_timer():
    return os.environ["MODAL_TASK_ID"]
