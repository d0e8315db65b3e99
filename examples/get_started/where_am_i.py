# SPDX-License-Identifier: Apache-2.0
"""Shows that a function really runs somewhere else: the container tells what it sees.

    modal run examples/get_started/where_am_i.py --number 7
"""
import json
import os
import socket

import modal

app = modal.App("example-where-am-i")

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")


def look_around():
    return {
        "hostname": socket.gethostname(),
        "python inode": os.stat("/usr/local/bin/python").st_ino
        if os.path.exists("/usr/local/bin/python") else None,
        **{f"{name} namespace": os.stat(f"/proc/self/ns/{name}").st_ino for name in NAMESPACES},
    }


@app.function()
def square(number):
    print("seen inside:", json.dumps(look_around()))
    return number**2


@app.local_entrypoint()
def main(number: int = 42):
    print("the square is", square.remote(number))
