#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plain servers from zero to an answer: booted, restored from a snapshot, or standing by, in turn.

    python3 bench/push_cold.py [--rounds 10] [--only fastapi,cog]

Each server is pushed three times: without --snapshot, with it where nothing stands by, and with it
to a second `thaw serve` where one does. A run begins with no container that serves, and is the
whole of one HTTP request, by a client that connects anew. Results: build/bench/push-cold.json.
Ends with 1 if an answer is wrong, or a start did not have its level.
"""
import argparse
import http.client
import json
import pathlib
import subprocess
import sys
import time

from measuring import BUILD_TIMEOUT, BenchServer, percentile  # enters the client's environment

ROOT = pathlib.Path(__file__).resolve().parents[1]
PUSHED = ROOT / "tests/e2e/apps/pushed"
OUT = ROOT / "build/bench"
PREDICTS = ("POST", "/predictions", b'{"input": {"text": "abc"}}')

# name: (folder, options, request, a part of the answer)
SERVERS = {
    "http.server": ("remembers", ["--env", "LOAD_S=0"], ("GET", "/state", None), b'"token"'),
    "http.server, loads 1 s": ("remembers", ["--env", "LOAD_S=1"], ("GET", "/state", None),
                               b'"token"'),
    "fastapi": ("fastapi", [], ("POST", "/double", b'{"number": 21}'), b"42"),
    "cog, setup 1 s": ("predicts", [], PREDICTS, b"ABC"),
    "node": ("node", [], ("GET", "/", None), b"by node"),
    "nginx": ("nginx", [], ("GET", "/", None), b"by nginx"),
}  # fmt: skip


class Pushed(BenchServer):
    def verb(self, *arguments):
        done = self.thaw(*arguments, "--server", str(self.data), timeout=BUILD_TIMEOUT)
        done.check_returncode()
        return done.stdout

    def push(self, name, folder, options):
        self.verb("push", str(PUSHED / folder), name, "--idle", "0.2", *options)

    def ask(self, name, request):
        method, path, body = request
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        started = time.perf_counter()
        headers = {"content-type": "application/json"} if body else {}
        connection.request(method, f"/fn/{name}{path}", body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read()
        seconds = time.perf_counter() - started
        connection.close()
        return seconds, answer.status, text

    def containers(self, name):
        return [view for view in json.loads(self.verb("ps", "--json")) if view["function"] == name]

    def stands_by(self, name, timeout=60):
        """Waits until all that is there of it is one that stands by; what that holds, in bytes."""
        limit = time.monotonic() + timeout
        while True:
            views = self.containers(name)
            if [(view["status"], view["level"]) for view in views] == [("standby", "L1")]:
                time.sleep(0.3)  # what made it is cleared away
                return views[0]["memory_bytes"]
            if time.monotonic() > limit:
                raise RuntimeError(f"nothing of {name} stands by: {views}")
            time.sleep(0.05)

    def goes_to_zero(self, name, timeout=60):
        limit = time.monotonic() + timeout
        while self.containers(name):
            if time.monotonic() > limit:
                raise RuntimeError(f"{name} did not go to zero")
            time.sleep(0.05)
        time.sleep(0.1)  # what is left of the old container is cleared away

    def level(self, name):
        starts = [start for start in json.loads(self.verb("logs", "--starts", "--json"))
                  if start["function"] == name and start["status"] != "standby"]
        return max(starts, key=lambda start: start["created_at"])["started_by"]

    def outcome_of_snapshot(self, name, timeout=120):
        """"taken", or why not."""
        limit = time.monotonic() + timeout
        while time.monotonic() < limit:
            for line in self.log_path.read_text(errors="replace").splitlines():
                if f'"function":"{name}"' in line and line.startswith("{"):
                    event = json.loads(line)
                    if event["event"] in ("snapshot taken", "no snapshot"):
                        return event.get("reason", "taken")
            time.sleep(0.1)
        return "nothing came of it"


def measure(server, other, number, kind, rounds):
    folder, options, request, part = SERVERS[kind]
    names = {"L4": f"cold{number}", "L3": f"snap{number}", "L1": f"ready{number}"}
    of = {"L4": server, "L3": server, "L1": other}
    for level, name in names.items():
        of[level].push(name, folder, options if level == "L4" else [*options, "--snapshot"])
    row = {"server": kind, "wrong": 0, "strays": 0, "snapshot": "", "seconds": {}, "held": []}
    for level, name in names.items():
        of[level].ask(name, request)
    row["snapshot"] = server.outcome_of_snapshot(names["L3"])
    wanted = ["L4", "L3"] if row["snapshot"] == "taken" else ["L4"]
    if other.outcome_of_snapshot(names["L1"]) == "taken":
        wanted.append("L1")
    for _ in range(rounds):
        for level in wanted:
            if level == "L1":
                row["held"].append(other.stands_by(names[level]))
            else:
                of[level].goes_to_zero(names[level])
            seconds, status, text = of[level].ask(names[level], request)
            row["wrong"] += status != 200 or part not in text
            if of[level].level(names[level]) != level:
                row["strays"] += 1
                continue
            row["seconds"].setdefault(level, []).append(seconds)
    for level, name in names.items():
        of[level].verb("function", "rm", name)
    return row


def told(seconds):
    low, middle, high = min(seconds), percentile(seconds, 0.5), max(seconds)
    return f"{middle * 1e3:7.1f} ({low * 1e3:.1f}-{high * 1e3:.1f})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    kinds = [kind for kind in SERVERS
             if not options.only or any(word in kind for word in options.only.split(","))]
    server = Pushed(config="[cold_start]\nstandby_s = 0\n").start()
    other = Pushed().start()
    rows = []
    try:
        for number, kind in enumerate(kinds):
            row = measure(server, other, number, kind, options.rounds)
            rows.append(row)
            booted, restored = row["seconds"].get("L4"), row["seconds"].get("L3")
            line = f"{kind:24} cold {told(booted) if booted else '-':>24} ms"
            if restored and booted:
                ratio = percentile(booted, 0.5) / percentile(restored, 0.5)
                line += f"   restored {told(restored):>22} ms   {ratio:.1f} times as fast"
            else:
                line += f"   {row['snapshot']}"
            if restored and (ready := row["seconds"].get("L1")):
                ratio = percentile(restored, 0.5) / percentile(ready, 0.5)
                held = percentile(row["held"], 0.5) / (1 << 20)
                line += f"   stood by {told(ready):>20} ms   {ratio:.1f} times as fast"
                line += f", {held:.1f} MB"
            print(line, flush=True)
    finally:
        server.close()
        other.close()
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "push-cold.json").write_text(json.dumps(rows, indent=1))
    bad = [row["server"] for row in rows if row["wrong"] or row["strays"]]
    if bad:
        print(f"wrong answers or levels: {', '.join(bad)}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failure:
        sys.exit(f"{failure}: {failure.stderr}")
