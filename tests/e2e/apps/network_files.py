# SPDX-License-Identifier: Apache-2.0
"""Functions that share a network file system or a volume; for clients old and new."""
import os
import pathlib
import warnings

import modal

warnings.simplefilter("ignore")
app = modal.App("e2e-network-files")
shared = modal.NetworkFileSystem.from_name("e2e-shared", create_if_missing=True)
PLACE = pathlib.Path("/root/shared")


@app.function(network_file_systems={PLACE: shared})
def write(name, text):
    path = PLACE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return sorted(os.listdir("/__modal/volumes")) if os.path.exists("/__modal/volumes") else []


@app.function(network_file_systems={"/elsewhere": shared})
def read(name):
    return pathlib.Path("/elsewhere", name).read_text()


volume = modal.Volume.from_name("e2e-older-volume", create_if_missing=True)
FILE = pathlib.Path("/data/deep/kept.txt")


@app.function(volumes={"/data": volume})
def keep(text):
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text)
    volume.commit()


@app.function(volumes={"/data": volume})
def kept():
    volume.reload()
    with FILE.open() as file:
        try:
            volume.reload()
        except RuntimeError as error:
            return file.read(), "open files" in str(error)
    return None


@app.local_entrypoint()
def main():
    keep.remote("in a volume")
    print("kept", *kept.remote())
    print("written", write.remote("deep/one.txt", "from a container"))
    print("read", read.remote("deep/one.txt"))
