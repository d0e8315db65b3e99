#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A gRPC echo through net/ against the least that nghttp2 can do: bench/net_bench.py OUT.json

Both servers run at once, each asked in turn for a second, several times; a ratio is the median of
the rounds' ratios, so that a busy machine hits both sides alike. CPU is the server's own.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
ROUNDS = 5
SECONDS = 0.5
BYTES = 1000


class Server:
    def __init__(self, program, cpu):
        self.process = subprocess.Popen([BUILD / program], stdout=subprocess.PIPE, text=True,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        self.port = int(self.process.stdout.readline().split()[1])

    def cpu_seconds(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text()
        return int(text.split()[0]) / 1e9

    def load(self, concurrency, cpu):
        before = self.cpu_seconds()
        out = subprocess.run(
            [BUILD / "net_grpc_load", str(self.port), str(concurrency), str(SECONDS), str(BYTES)],
            check=True, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {cpu})).stdout
        result = json.loads(out)
        result["cpu_us"] = (self.cpu_seconds() - before) * 1e6 / result["calls"]
        return result

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def row(what, key, ours, plain):
    ratio = statistics.median(a[key] / b[key] for a, b in zip(ours, plain))
    return {"what": what, "p50": round(statistics.median(r[key] for r in ours), 1), "unit": "us",
            "baseline": round(statistics.median(r[key] for r in plain), 1),
            "ratio": round(ratio, 2)}


def measure():
    cpus = sorted(os.sched_getaffinity(0))
    servers = [Server("grpc_echo_server", cpus[0]), Server("net_plain_grpc_echo", cpus[0])]
    rows = []
    try:
        for concurrency in (1, 16, 128):
            rounds = [[server.load(concurrency, cpus[-1]) for server in servers]
                      for _ in range(ROUNDS)]
            ours, plain = zip(*rounds)
            name = f"gRPC echo of {BYTES} bytes, {concurrency} at a time"
            rows.append(row(f"{name}: latency", "p50_us", ours, plain))
            rows[-1]["p99"] = round(statistics.median(r["p99_us"] for r in ours), 1)
            rows.append(row(f"{name}: server CPU per call", "cpu_us", ours, plain))
    finally:
        for server in servers:
            server.stop()
    return rows


def main():
    out = pathlib.Path(sys.argv[1])
    out.write_text(json.dumps({"rows": measure()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
