# SPDX-License-Identifier: Apache-2.0
"""Tells where a function runs, so that a test can compare that with the host."""
import json
import os
import socket

import modal

app = modal.App("e2e-where")


@app.function()
def where(number):
    spaces = os.listdir("/proc/self/ns")
    place = {
        "square": number**2,
        "hostname": socket.gethostname(),
        "python_inode": os.stat("/usr/local/bin/python").st_ino,
        "namespaces": {name: os.readlink(f"/proc/self/ns/{name}") for name in spaces},
        "pids": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
        "user": os.getuid(),
        "cwd": os.getcwd(),
    }
    print("inside:", json.dumps(place))
    return place


@app.local_entrypoint()
def main(number: int):
    print("returned:", json.dumps(where.remote(number)))
