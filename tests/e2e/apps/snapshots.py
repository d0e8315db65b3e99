# SPDX-License-Identifier: Apache-2.0
"""Functions and classes with memory snapshots, and what such a snapshot may have to bring back."""
import multiprocessing
import os
import random
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import uuid

import modal

app = modal.App("e2e-snapshots")
snapshotted = {"enable_memory_snapshot": True, "scaledown_window": 2}

imported_at = time.time()
global_number = random.random()


def facts(**more):
    return {
        "task": os.environ["MODAL_TASK_ID"],
        "random": random.random(),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "openssl": ssl.RAND_bytes(8).hex(),
        "authkey": multiprocessing.current_process().authkey.hex(),
        "name": next(tempfile._get_candidate_names()),
        "host": socket.gethostname(),
        "time": time.time(),
        "colour": os.environ.get("COLOUR"),
        **more,
    }


@app.cls(**snapshotted)
class Model:
    size: int = modal.parameter(default=3)

    @modal.enter(snap=True)
    def load(self):
        print("loading", flush=True)
        self.table = [[i * j for j in range(self.size)] for i in range(self.size)]
        self.loads = getattr(self, "loads", 0) + 1
        self.born = uuid.uuid4().hex
        with open("/root/written-at-load", "w") as file:
            file.write("kept")

    @modal.enter(snap=False)
    def connect(self):
        self.connects = getattr(self, "connects", 0) + 1
        self.connected = uuid.uuid4().hex

    @modal.method()
    def ask(self, hold=0.0):
        time.sleep(hold)
        print("asked", flush=True)
        with open("/root/written-at-load") as file:
            written = file.read()
        return facts(
            table=self.table, loads=self.loads, connects=self.connects, born=self.born,
            connected=self.connected, written=written,
        )  # fmt: skip


@app.function(**snapshotted)
def plain():
    return facts(imported_at=imported_at, global_number=global_number)


@app.cls(image=modal.Image.debian_slim().pip_install("numpy"), **snapshotted)
class Numbers:
    @modal.enter(snap=True)
    def load(self):
        import numpy

        self.generator = numpy.random
        self.drawn = [float(self.generator.random()) for _ in range(3)]

    @modal.method()
    def draw(self):
        return facts(drawn=self.drawn, numpy=float(self.generator.random()))


@app.function(secrets=[modal.Secret.from_dict({"COLOUR": "red"})], **snapshotted)
def coloured():
    return facts(imported_at=imported_at)


class Held:
    """Loads something that lives in the kernel as well as in memory."""

    @modal.method()
    def use(self):
        return {"born": self.born, **self.look()}


@app.cls(**snapshotted)
class Threads(Held):
    @modal.enter(snap=True)
    def load(self):
        from concurrent.futures import ThreadPoolExecutor

        self.born = uuid.uuid4().hex
        self.pool = ThreadPoolExecutor(4)
        list(self.pool.map(time.sleep, [0.05] * 4))

    def look(self):
        names = set(self.pool.map(lambda _: threading.current_thread().name, range(16)))
        return {"value": len(names) >= 1}


@app.cls(**snapshotted)
class OpenFile(Held):
    @modal.enter(snap=True)
    def load(self):
        self.born = uuid.uuid4().hex
        self.file = open("/tmp/held", "w+")
        self.file.write("first ")
        self.file.flush()
        self.unlinked = tempfile.TemporaryFile("w+")
        self.unlinked.write("unlinked")
        self.unlinked.flush()

    def look(self):
        self.file.write("second")
        self.file.flush()
        self.file.seek(0)
        self.unlinked.seek(0)
        return {"value": self.file.read() + " " + self.unlinked.read()}


@app.cls(**snapshotted)
class Lock(Held):
    @modal.enter(snap=True)
    def load(self):
        import fcntl

        self.born = uuid.uuid4().hex
        self.file = open("/tmp/lock", "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def look(self):
        import fcntl

        with open("/tmp/lock") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return {"value": "free"}
            except BlockingIOError:
                return {"value": "held"}


@app.cls(**snapshotted)
class Listener(Held):
    @modal.enter(snap=True)
    def load(self):
        self.born = uuid.uuid4().hex
        self.socket = socket.create_server(("127.0.0.1", 7321))

    def look(self):
        with socket.create_connection(("127.0.0.1", 7321), timeout=5):
            self.socket.accept()[0].close()
        return {"value": "accepted"}


@app.cls(**snapshotted)
class Child(Held):
    @modal.enter(snap=True)
    def load(self):
        self.born = uuid.uuid4().hex
        self.child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def look(self):
        self.child.stdin.write(b"echo\n")
        self.child.stdin.flush()
        return {"value": self.child.stdout.readline().decode().strip()}


@app.cls(**snapshotted)
class Connected(Held):
    """Both ends of a connection belong to the program."""

    @modal.enter(snap=True)
    def load(self):
        self.born = uuid.uuid4().hex
        left, right = socket.socketpair()
        self.sockets = (left, right)

    def look(self):
        self.sockets[0].send(b"x")
        return {"value": self.sockets[1].recv(1).decode()}


@app.cls(**snapshotted)
class BadReturn:
    """What runs after the restore fails: the caller hears of it, and the snapshot is not blamed."""

    @modal.enter(snap=True)
    def load(self):
        pass

    @modal.enter(snap=False)
    def connect(self):
        raise LookupError("no database")

    @modal.method()
    def use(self):
        return 1
