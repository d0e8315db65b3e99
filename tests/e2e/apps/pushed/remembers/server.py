# SPDX-License-Identifier: Apache-2.0
"""A server that takes a while to load, remembers that, and tells what it has drawn and holds.

WATCH=FOLDER: it watches that folder for new files. LISTEN=own: it listens at its own address only.
TICKS: it counts twentieths of a second by itself.
"""

import ctypes
import http.server
import json
import os
import random
import socket
import ssl
import struct
import subprocess
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
state = {"loaded_at": time.time(), "token": os.urandom(8).hex(), "requests": 0, "renewals": 0,
         "greeting": os.environ["GREETING"], "pid": os.getpid()}  # fmt: skip
random.seed(1)
ssl.RAND_bytes(8)
ballast = bytes(os.urandom(1 << 20) * 16)
child = subprocess.Popen(["sleep", "1000000"])
open("/tmp/written", "w").write(state["token"])
watch = None
if folder := os.environ.get("WATCH"):
    os.makedirs(folder, exist_ok=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    if libc.inotify_add_watch(watch, folder.encode(), 0x100) < 0:  # IN_CREATE
        raise OSError(ctypes.get_errno(), "inotify_add_watch")
time.sleep(float(os.environ.get("LOAD_S", "1")))


def tick():
    state.update(ticks=0, began=time.monotonic())
    while True:
        time.sleep(0.05)
        state["ticks"] += 1


if os.environ.get("TICKS"):
    threading.Thread(target=tick, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        state["requests"] += 1
        if self.path == "/state":
            return self.answer(state | {
                "monotonic": time.monotonic(),
                "random": random.random(), "ssl": ssl.RAND_bytes(8).hex(),
                "urandom": os.urandom(8).hex(), "host": socket.gethostname(),
                "written": open("/tmp/written").read(), "ballast": sum(ballast[::4096]),
                "child": child.poll() is None, "environment": os.environ.get("PYTHONPATH"),
            })  # fmt: skip
        if self.path == "/slow":
            time.sleep(2)
            return self.answer(state | {"random": random.random(), "host": socket.gethostname()})
        if self.path == "/watched":
            with open(os.path.join(os.environ["WATCH"], "news"), "w"):
                pass
            event = os.read(watch, 4096)
            _, mask, _, size = struct.unpack_from("iIII", event)
            return self.answer({"name": event[16 : 16 + size].rstrip(b"\0").decode(), "mask": mask})
        self.answer("not here", 404)

    def do_POST(self):
        if self.path == "/renew":
            random.seed()
            state["renewals"] += 1
            return self.answer("renewed")
        self.answer("not here", 404)

    def log_message(self, *_):
        pass


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


here = own_address() if os.environ.get("LISTEN") == "own" else "0.0.0.0"
threading.Thread(target=threading.Event().wait, daemon=True).start()
http.server.ThreadingHTTPServer((here, int(os.environ["PORT"])), Handler).serve_forever()
