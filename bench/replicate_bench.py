#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Warm predictions of a model that does nothing, through Thaw and by the cog server's own port: one
caller, and 32 at once; rounds alternate. From zero: push_cold.py.

    replicate_bench.py OUT.json

`/fn` is the model's plain address, which adds a passage. The API of Replicate is another thing: a
prediction is a durable call there, with a record before it begins and one when it has ended.
"""
import concurrent.futures
import http.client
import json
import os
import pathlib
import sys
import tempfile
import threading
import time

from measuring import BUILD_TIMEOUT, BenchServer, percentile, row

CALLS = int(os.environ.get("THAW_BENCH_PREDICTIONS", 200))
CALLERS, ROUNDS, SECONDS = 32, 3, 3
YAML = "predict: predict.py:Predictor\nconcurrency:\n  max: 64\n"
PREDICTOR = """\
from cog import BasePredictor
class Predictor(BasePredictor):
    async def predict(self, text: str) -> str:
        return text
"""
BODY = json.dumps({"input": {"text": "a"}})


class Caller:
    """One connection, which stays."""

    def __init__(self, host, port, path, **headers):
        self.connection = http.client.HTTPConnection(host, port, timeout=60)
        self.path = path
        self.headers = {"content-type": "application/json", **headers}

    def __call__(self):
        while True:
            self.connection.request("POST", self.path, BODY, self.headers)
            answer = self.connection.getresponse()
            text = answer.read()
            if answer.status != 409:  # a slot of cog's is free some time after its answer
                break
            time.sleep(0.001)
        if answer.status not in (200, 201) or json.loads(text)["status"] != "succeeded":
            raise SystemExit(f"{self.path} answered {answer.status}: {text}")


def one_after_the_other(make):
    call, taken = make(), []
    call()
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return taken


def rate(make):
    """Predictions a second of many callers."""
    begin = threading.Barrier(CALLERS)

    def calls(call):
        call()
        begin.wait()
        ends, done = time.perf_counter() + SECONDS, 0
        while time.perf_counter() < ends:
            call()
            done += 1
        return done

    with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
        return sum(pool.map(calls, [make() for _ in range(CALLERS)])) / SECONDS


def ways_of(server):
    made = server.thaw("token", "create", "bench", "--json", "--data", str(server.data))
    token = json.loads(made.stdout)
    who = {"authorization": f"Bearer {token['token']}:{token['secret']}", "prefer": "wait=60"}
    Caller("127.0.0.1", server.port, "/fn/bench/predictions")()
    address = server.container_address("cog.server.http")
    workspace = json.loads(
        server.thaw("model", "list", "--json", "--data", str(server.data)).stdout
    )["models"][0]["owner"]  # fmt: skip
    api = f"/replicate/v1/models/{workspace}/bench/predictions"
    return {
        "cog itself": lambda: Caller(address, 5000, "/predictions"),
        "/fn": lambda: Caller("127.0.0.1", server.port, "/fn/bench/predictions"),
        "the API of Replicate": lambda: Caller("127.0.0.1", server.port, api, **who),
    }


def measure(server):
    ways = ways_of(server)
    taken, rates = {way: [] for way in ways}, {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, make in ways.items():
            taken[way] += one_after_the_other(make)
            rates[way].append(rate(make))
    own, own_rate = taken["cog itself"], percentile(rates["cog itself"], 0.5)
    rows = []
    for way in ways:
        rows.append(row(f"a prediction by {way}", taken[way], baseline=own))
        middle = percentile(rates[way], 0.5)
        rows.append({
            "what": f"predictions a second of {CALLERS} callers by {way}", "unit": "1/s",
            "p50": round(middle), "baseline": round(own_rate), "ratio": round(middle / own_rate, 2),
        })  # fmt: skip
    return rows


def main():
    server = BenchServer(config="[cold_start]\nstandby_s = 0\n").start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("cog.yaml", YAML), ("predict.py", PREDICTOR)):
                (pathlib.Path(folder) / name).write_text(text)
            pushed = server.thaw("push", folder, "bench", "--no-snapshot", "--min", "1", "--max",
                                 "1", "--server", str(server.data), timeout=BUILD_TIMEOUT)
            pushed.check_returncode()
        pathlib.Path(sys.argv[1]).write_text(json.dumps({"rows": measure(server)}, indent=1))
    finally:
        server.close()


if __name__ == "__main__":
    main()
