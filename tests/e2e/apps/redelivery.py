# SPDX-License-Identifier: Apache-2.0
"""Calls that take up to a few seconds, and note when they begin."""
import asyncio

import modal

app = modal.App("e2e-redelivery")
notes = modal.Volume.from_name("e2e-redelivery-notes", create_if_missing=True)


@app.function(volumes={"/v": notes}, timeout=120, max_containers=4)
@modal.concurrent(max_inputs=50)
async def work(number, seconds):
    with open("/v/begun", "a") as file:
        # One small write: it is whole or not there. By call: a spawn whose acknowledgement was lost
        # is asked for again, and makes another one.
        file.write(f"{modal.current_function_call_id()}\n")
    await asyncio.sleep(seconds)
    return number * 7 + 1


@app.function(volumes={"/v": notes})
def begun():
    with open("/v/begun") as file:
        return file.read().split()
