#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A layer of 1 GiB is pushed to the own registry and pulled from it, against a copy of the file
that is hashed on its way and synced: rounds alternate. Fails below 70 % of the copy's speed.

    registry_bench.py OUT.json
"""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import statistics
import sys
import time

from measuring import BenchServer

BYTES = int(os.environ.get("THAW_BENCH_LAYER_MB", 1024)) << 20
PIECE = 1 << 20
ROUNDS = 3
LEAST = 0.7


def copy(source, target):
    """Reads, hashes, writes, and waits for the disk; returns the digest."""
    digest = hashlib.sha256()
    with open(source, "rb", buffering=0) as come, open(target, "wb", buffering=0) as go:
        while piece := come.read(PIECE):
            digest.update(piece)
            go.write(piece)
        os.fsync(go.fileno())
    return digest.hexdigest()


class Client:
    def __init__(self, server):
        made = server.thaw("token", "create", "bench", "--json", "--data", str(server.data))
        token = json.loads(made.stdout)
        pair = f"{token['token']}:{token['secret']}".encode()
        self.headers = {"authorization": "Basic " + base64.b64encode(pair).decode()}
        self.port = server.port

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, blocksize=PIECE)
        connection.request(method, path, body, {**self.headers, **headers})
        return connection.getresponse()

    def push(self, path, digest):
        begun = self.ask("POST", "/v2/bench/blobs/uploads/")
        begun.read()
        place = begun.headers["location"]
        with open(path, "rb", buffering=0) as body:
            size = str(path.stat().st_size)
            done = self.ask("PUT", f"{place}?digest=sha256:{digest}", body,
                            **{"content-length": size})  # fmt: skip
        if done.status != 201:
            raise SystemExit(f"the push was answered {done.status}: {done.read()}")
        done.read()

    def pull(self, digest, target):
        answer = self.ask("GET", f"/v2/bench/blobs/sha256:{digest}")
        found = hashlib.sha256()
        with open(target, "wb", buffering=0) as go:
            while piece := answer.read(PIECE):
                found.update(piece)
                go.write(piece)
            os.fsync(go.fileno())
        if found.hexdigest() != digest:
            raise SystemExit("what was pulled is not what was pushed")

    def remove(self, digest):
        self.ask("DELETE", f"/v2/bench/blobs/sha256:{digest}").read()


def seconds_of(function, *arguments):
    os.sync()
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def main():
    server = BenchServer(config="[storage]\nsweep_every_s = 1\nkeep_unused_s = 1\n").start()
    try:
        client = Client(server)
        source = pathlib.Path(server.folder) / "layer"
        other = pathlib.Path(server.folder) / "copy"
        copies, pushes, pulls = [], [], []
        for _ in range(ROUNDS):
            with open(source, "wb") as out:  # another one each time: nothing of it is there
                for _ in range(BYTES // PIECE):
                    out.write(os.urandom(PIECE))
            digest = copy(source, other)
            copies.append(seconds_of(copy, source, other))
            pushes.append(seconds_of(client.push, source, digest))
            pulls.append(seconds_of(client.pull, digest, other))
            client.remove(digest)
    finally:
        server.close()
    base = statistics.median(copies)
    rows = []
    for what, taken in (("push of a layer", pushes), ("pull of a layer", pulls)):
        middle = statistics.median(taken)
        rows.append({
            "what": f"{what}, {BYTES >> 20} MiB", "unit": "s", "p50": round(middle, 2),
            "p99": round(max(taken), 2), "baseline": round(base, 2),
            "ratio": round(base / middle, 2),
        })  # fmt: skip
    pathlib.Path(sys.argv[1]).write_text(json.dumps({"rows": rows}))
    slow = [row["what"] for row in rows if row["ratio"] < LEAST]
    if slow:
        raise SystemExit(f"below {LEAST} of the speed of a copy: {', '.join(slow)}")


if __name__ == "__main__":
    main()
