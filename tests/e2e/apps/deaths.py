# SPDX-License-Identifier: Apache-2.0
"""What user code may leave on a machine, and calls that last a moment."""
import os
import subprocess
import sys
import time

import modal

app = modal.App("e2e-deaths")
volume = modal.Volume.from_name("e2e-deaths", create_if_missing=True)


@app.function(max_containers=4)
def wait_a_moment(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number


def make_chain(path: str, depth: int) -> None:
    os.makedirs(path)
    os.chdir(path)
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    os.chdir("/")


@app.function(scaledown_window=300)
def leave_deep_folders(depth: int) -> str:
    make_chain("/root/deep", depth)
    return os.environ["MODAL_TASK_ID"]


@app.function(volumes={"/data": volume})
def leave_deep_folders_in_a_volume(depth: int) -> None:
    make_chain("/data/deep", depth)
    volume.commit()


@app.function(timeout=280)
def close_every_descriptor() -> None:
    os.closerange(3, 65536)
    time.sleep(250)


@app.function()
def interrupt_itself() -> None:
    raise KeyboardInterrupt


@app.function(memory=(64, 256), volumes={"/data": volume}, timeout=280)
def outlive_a_child(seconds: int) -> int:
    """What ends its child, which takes all memory. A first attempt then waits for its own end."""
    child = subprocess.run([sys.executable, "-c", "bytearray(1 << 30)"], check=False)
    if not os.path.exists("/data/attempted"):
        open("/data/attempted", "x").close()
        subprocess.run(["sleep", str(seconds)], check=True)
    return child.returncode
