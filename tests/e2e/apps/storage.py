# SPDX-License-Identifier: Apache-2.0
"""What takes disk: large results, files, volumes, a container's own root."""
import os
import pathlib
import time

import modal

PARCEL = pathlib.Path(os.environ.get("E2E_PARCEL", "/nonexistent"))

image = modal.Image.debian_slim(python_version="3.11").add_local_dir(PARCEL, "/opt/parcel")
app = modal.App("e2e-storage", image=image)
volume = modal.Volume.from_name("e2e-storage", create_if_missing=True)


@app.function()
def parcel():
    return pathlib.Path("/opt/parcel/text").read_text()


@app.function()
def give(size):
    return os.urandom(size)


@app.function()
def take(data):
    return len(data)


@app.function(volumes={"/data": volume})
def make_sparse(name, size):
    with open(f"/data/{name}", "wb") as file:
        file.truncate(size)
    volume.commit()
    return os.stat(f"/data/{name}").st_blocks


@app.function(volumes={"/data": volume})
def blocks_of(name):
    found = os.stat(f"/data/{name}")
    return found.st_size, found.st_blocks


@app.function(ephemeral_disk=512 << 10)
def modest():
    return "here"


@app.function(retries=0)
def fill_root(megabytes, pause):
    piece = os.urandom(1 << 20)
    for number in range(megabytes):
        pathlib.Path(f"/tmp/{number}").write_bytes(piece)
    time.sleep(pause)
    return "not ended"


@app.function(volumes={"/data": volume}, retries=0)
def fill_volume(megabytes, pause):
    piece = os.urandom(1 << 20)
    for number in range(megabytes):
        pathlib.Path(f"/data/fill-{number}").write_bytes(piece)
    time.sleep(pause)
    return "not ended"


@app.function(volumes={"/data": volume})
def try_to_write():
    try:
        pathlib.Path("/data/more").write_bytes(b"x")
    except OSError as error:
        return error.errno
    return 0
