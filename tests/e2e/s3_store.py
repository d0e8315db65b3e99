# SPDX-License-Identifier: Apache-2.0
"""An object store that speaks S3's protocol: the package moto, in a process of its own, which
checks signatures and rights. Between it and its callers stands a relay that can fall silent."""
import base64
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(__file__).resolve().parent / "s3" / "store.py"


class Store:
    """`endpoint`, and `key` with `secret`, which may do everything in the bucket."""

    def __init__(self, bucket):
        command = [str(ROOT / "tools" / "client"), "tests/clients/moto.txt"]
        found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        python = os.path.join(found.stdout.strip().splitlines()[-1], "python")
        self.bucket = bucket
        self.process = subprocess.Popen(
            [python, str(PROGRAM), bucket],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": "/tmp"},
        )
        told = json.loads(self.process.stdout.readline())
        self.key, self.secret = told["key"], told["secret"]
        self.relay = Relay(told["port"])
        self.endpoint = f"http://127.0.0.1:{self.relay.port}"

    def environment(self):
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}

    def _ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["answer"]

    def put(self, key, body):
        self._ask(verb="put", key=key, body=base64.b64encode(body).decode())

    def get(self, key):
        """None if there is none."""
        body = self._ask(verb="get", key=key)
        return None if body is None else base64.b64decode(body)

    def keys(self):
        return self._ask(verb="list")

    def close(self):
        self.relay.close()
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Relay:
    """A port of loopback that leads to another one; while it is silent nothing passes."""

    def __init__(self, target):
        self.target = target
        self.passes = threading.Event()
        self.passes.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self):
        self.passes.clear()

    def speak(self):
        self.passes.set()

    def close(self):
        self.passes.set()
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=ends, daemon=True).start()

    def _copy(self, source, target):
        try:
            while piece := source.recv(65536):
                self.passes.wait()
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            target.close()


if __name__ == "__main__":
    sys.exit("it is no test")
