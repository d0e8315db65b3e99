#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A mixed load for some minutes by the real client, then rest: what has grown?

    tests/soak/soak.py --minutes 30        (make soak MINUTES=30; loopback only; ends by itself)

Calls of every kind, maps, spawns that are cancelled, generators whose reader leaves, uploads that
break off, deaths of containers, redeployments, `modal run` in a loop, volumes, scale-downs. While
it goes on it counts what the server holds; after it, and eleven minutes more, everything must be as
it was before: processes, mounts, cgroups, links, descriptors, threads to the number, memory within
30 MB.
"""
import argparse
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from thaw_server import ThawServer, descendants_of  # noqa: E402

MEMORY_MB = 30  # that may stay
# Results, blobs and ended apps are kept for ten minutes.
REST_S = 660

parser = argparse.ArgumentParser()
parser.add_argument("--minutes", type=float, default=30)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--json", action="store_true")
options = parser.parse_args()

server = ThawServer.for_module(config="[cold_start]\nfreeze_after_s = 0.5\nstandby_s = 20\n")

import modal  # noqa: E402


def proc(pid, *names):
    return pathlib.Path("/proc", str(pid), *names)


def rss_mb(pid):
    for line in proc(pid, "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def disk_mb(folder):
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
            except OSError:
                pass
    return total / 2**20


def lines_of(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()


def sample():
    """Of this server alone: others may run on the machine."""
    pid = server.process.pid
    instance = (server.data / "sandboxes" / "instances").read_text().split()[-1]
    links = lines_of("ip", "-o", "link", "show", "master", f"tw-{instance}")
    cgroups = lines_of("find", "/sys/fs/cgroup", "-type", "d", "-path", f"*thaw-{instance}*")
    return {
        "rss_mb": round(rss_mb(pid), 1),
        "fds": len(os.listdir(proc(pid, "fd"))),
        "threads": len(os.listdir(proc(pid, "task"))),
        "processes": len(descendants_of(pid)),
        "containers": len(server.task_ids()),
        "mounts": len(proc(pid, "mountinfo").read_text().splitlines()),
        "cgroups": len(cgroups),
        "links": len(links),
        "disk_mb": round(disk_mb(server.data), 1),
    }


COLUMNS = ["minute", "done", "wrong", *sample().keys()]


def show(row):
    print("  ".join(f"{str(row[name]):>10}" for name in COLUMNS), flush=True)


# --- The load ------------------------------------------------------------------------------------

stop = threading.Event()
lock = threading.Lock()
done, wrong = {}, []


def function(name):
    return modal.Function.from_name("soak", name)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def calls(chance):
    number = chance.randrange(1000)
    check(function("square").remote(number) == number**2, "square")


def maps(chance):
    count = chance.choice([5, 50, 300])
    found = list(function("square").map(range(count)))
    check(found == [n * n for n in range(count)], "a map")


def spawns(chance):
    call = function("nap").spawn(chance.uniform(0, 0.5))
    if chance.random() < 0.4:
        call.cancel()
    else:
        check(call.get(timeout=120) is not None, "a spawn")


def blobs(chance):
    data = chance.randbytes(chance.choice([10_000, 3_000_000]))
    check(function("echo").remote(data) == data, "a large argument")


def generators(chance):
    leaves = chance.random() < 0.5
    for number, _ in enumerate(function("items").remote_gen(60, 50_000)):
        if leaves and number == 5:
            break


def deaths(chance):
    try:
        function("end").remote(chance.choice(["exit", "error"]))
    except Exception:
        return
    check(False, "a function that dies gave a result")


def talks(chance):
    check(function("talk").remote(300) == 300, "talk")


def volumes(chance):
    check(function("keep").remote(f"f{chance.randrange(10**9)}", 2_000_000) == 2_000_000, "keep")


def snapshots(chance):
    check(modal.Cls.from_name("soak", "Model")().answer.remote(7) == 7, "a class")


def posts(chance):
    url = function("web").get_web_url()
    body = json.dumps({"number": chance.randrange(100)}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        check(json.loads(answer.read())["version"] > 0, "a web answer")


def broken_uploads(chance):
    path = urllib.request.urlparse(function("web").get_web_url())
    with socket.create_connection((server.address.split(":")[0], server.port)) as peer:
        head = f"POST {path.path or '/'} HTTP/1.1\r\nHost: {path.netloc}\r\n"
        peer.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode() + b"x" * 5000)


def runs(chance):
    server.modal("run", HERE / "once.py")


def deployments(chance):
    server.modal("deploy", HERE / "apps.py", env={"SOAK_VERSION": str(chance.randrange(1, 100))})


KINDS = [calls, maps, spawns, blobs, generators, deaths, talks, volumes, snapshots, posts,
         broken_uploads]  # fmt: skip


def act(kind, chance):
    try:
        kind(chance)
    except Exception as error:
        with lock:
            wrong.append(f"{kind.__name__}: {type(error).__name__}: {str(error)[:300]}")
    with lock:
        done[kind.__name__] = done.get(kind.__name__, 0) + 1


def work(number):
    chance = random.Random(f"{options.seed} {number}")
    while not stop.is_set():
        act(chance.choice(KINDS), chance)
        # Pauses in which windows end, now and then.
        stop.wait(4 if chance.random() < 0.1 else 0.1)


def rarely(kind, pause):
    chance = random.Random(f"{options.seed} {kind.__name__}")
    while not stop.wait(pause):
        act(kind, chance)


def rest(seconds):
    server.wait_for_zero(120)
    time.sleep(seconds)  # that the server's own clean-up has had its turns
    return sample()


def main():
    chance = random.Random(options.seed)
    deployments(chance)
    for kind in [*KINDS, runs]:  # once each, so that templates, snapshots and caches are there
        act(kind, chance)
    print(f"warmed up: {len(wrong)} wrong", *wrong, sep="\n  ", flush=True)
    start = rest(20)
    print("  ".join(f"{name:>10}" for name in COLUMNS))
    show({"minute": 0, "done": 0, "wrong": 0, **start})
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(4)]
    threads += [threading.Thread(target=rarely, args=a, daemon=True)
                for a in ((runs, 20), (deployments, 45))]  # fmt: skip
    began = time.monotonic()
    for thread in threads:
        thread.start()
    while (passed := time.monotonic() - began) < options.minutes * 60:
        time.sleep(min(60, max(1, options.minutes * 60 - passed)))
        minute = round((time.monotonic() - began) / 60, 1)
        with lock:
            counts = sum(done.values()), len(wrong)
        show({"minute": minute, "done": counts[0], "wrong": counts[1], **sample()})
    stop.set()
    for thread in threads:
        thread.join(180)
    end = rest(REST_S)
    show({"minute": "rest", "done": sum(done.values()), "wrong": len(wrong), **end})
    print(json.dumps(done))
    for text in wrong[:20]:
        print("wrong:", text)
    grown = [name for name in ("processes", "mounts", "cgroups", "links", "threads", "containers")
             if end[name] > start[name]]  # fmt: skip
    grown += ["fds"] if end["fds"] > start["fds"] + 8 else []  # connections that still close
    grown += ["rss_mb"] if end["rss_mb"] > start["rss_mb"] + MEMORY_MB else []
    for name in grown:
        print(f"grown: {name} from {start[name]} to {end[name]}")
    if options.json:
        print(json.dumps({"start": start, "end": end, "wrong": len(wrong), "done": done}))
    sys.exit(1 if grown or wrong else 0)


main()
