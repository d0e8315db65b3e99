# SPDX-License-Identifier: Apache-2.0
"""Calls by the real client, and web calls, against what they cost without Thaw's share.

Run by bench/run with the client's Python: calls_bench.py OUT.json
"""
import http.client
import json
import pathlib
import subprocess
import sys
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/e2e"))

from thaw_server import ThawServer  # noqa: E402  (it enters the client's environment)

CALLS, COLD_STARTS, REQUESTS, ROUNDS = 200, 5, 300, 5


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def row(what, seconds, unit="ms", baseline=None):
    scale = {"s": 1, "ms": 1e3, "us": 1e6}[unit]
    line = {"what": what, "unit": unit}
    for share in (50, 99):
        line[f"p{share}"] = round(percentile(seconds, share / 100) * scale, 2)
    if baseline:
        base = percentile(baseline, 0.5)
        line["baseline"] = round(base * scale, 2)
        line["ratio"] = round(percentile(seconds, 0.5) / base, 2)
    return line


def timed(function, times):
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        function()
        taken.append(time.perf_counter() - started)
    return taken


def thaw_cpu_seconds():
    """CPU time of the server's own threads (not of containers), to the nanosecond."""
    threads = pathlib.Path(f"/proc/{SERVER.process.pid}/task").iterdir()
    return sum(int((t / "schedstat").read_text().split()[0]) for t in threads) / 1e9


def cpu_row(what, function, times):
    """Thaw's share of a warm call apart from client and container: its own CPU for one."""
    before = thaw_cpu_seconds()
    timed(function, times)
    each = (thaw_cpu_seconds() - before) / times
    return {"what": what, "p50": round(each * 1e6, 1), "unit": "us"}


def stage_rows():
    """The stages of the cold starts above, as `thaw logs --starts` tells them."""
    listing = SERVER.thaw("logs", "--starts", "--data", str(SERVER.data), "--json").stdout
    starts = [s["stages_ms"] for s in json.loads(listing) if s["function"] == "cold"]
    rows = []
    for stage in ("queue", "sandbox", "interpreter", "imports", "user_code", "call", "total"):
        values = [s[stage] / 1e3 for s in starts if s[stage] is not None]
        rows += [row(f"  cold start: {stage}", values)] if values else []
    return rows


def measure_calls():
    import modal

    nothing = modal.Function.from_name("bench-trivial", "nothing")
    cold = modal.Function.from_name("bench-trivial", "cold")
    client = modal.Client.from_env()
    timed(nothing.remote, 10)
    empty = timed(client.hello, CALLS)
    ways_in = []

    def call():
        started = time.time()
        ways_in.append(nothing.remote() - started)

    warm = timed(call, CALLS)
    rows = [row("empty RPC of the same client", empty),
            row("warm .remote of a trivial function", warm, baseline=empty),
            row("  from the caller to the first line of it", ways_in),
            cpu_row("  CPU of Thaw itself for it", nothing.remote, CALLS)]
    starts = []
    for _ in range(COLD_STARTS):
        SERVER.wait_for_zero_of("cold")
        starts += timed(cold.remote, 1)
    rows.append(row("cold .remote of a trivial function", starts, baseline=warm))
    return rows + stage_rows()


class Connection:
    """One kept connection; the same client for both sides of a comparison."""

    def __init__(self, address):
        url = urllib.parse.urlsplit(address)
        self.path = url.path or "/"
        self.http = http.client.HTTPConnection(url.hostname, url.port, timeout=60)

    def get(self):
        self.http.request("GET", self.path)
        answer = self.http.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {body[:200]!r}")


def compare(one, other):
    """Both by turns, so that a noisy neighbour hits both."""
    taken = ([], [])
    for connection in (one, other):
        timed(connection.get, 20)
    for _ in range(ROUNDS):
        for connection, list_ in zip((one, other), taken):
            list_ += timed(connection.get, REQUESTS)
    return taken


def measure_web():
    import modal

    def address_of(name):
        return modal.Function.from_name("bench-trivial", name).get_web_url()

    served = Connection(address_of("server"))
    served.get()
    direct = Connection(f"http://{SERVER.container_address('start_server')}:8000/")
    through, straight = compare(served, direct)
    endpoint = Connection(address_of("endpoint"))
    timed(endpoint.get, 20)
    added = percentile(through, 0.5) - percentile(straight, 0.5)
    return [row("web_server, called directly", straight, "us"),
            row("web_server, through Thaw", through, "us", baseline=straight),
            {"what": "  added by Thaw", "p50": round(added * 1e6, 2), "unit": "us"},
            cpu_row("  CPU of Thaw itself for it", served.get, REQUESTS),
            row("warm fastapi_endpoint", timed(endpoint.get, REQUESTS), "us",
                baseline=straight),
            cpu_row("  CPU of Thaw itself for it", endpoint.get, REQUESTS)]


class BenchServer(ThawServer):
    def wait_for_zero_of(self, function):
        """Until `thaw ps` shows no container of it: here its word is enough."""
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            if function not in self.thaw("ps", "--data", str(self.data), "--json").stdout:
                return
            time.sleep(0.2)
        raise RuntimeError(f"{function} did not go to zero")

    def container_address(self, word):
        for container in self.containers():
            if word in pathlib.Path(f"/proc/{container.pid}/cmdline").read_text():
                shown = subprocess.run(["nsenter", "-t", str(container.pid), "-n", "ip", "-j", "-4",
                                        "addr", "show", "dev", "eth0"], check=True,
                                       capture_output=True, text=True).stdout
                return json.loads(shown)[0]["addr_info"][0]["local"]
        raise RuntimeError(f"no container runs {word}")


if __name__ == "__main__":
    SERVER = BenchServer().start().use()
    try:
        SERVER.modal("deploy", HERE / "apps/trivial.py")
        result = {"rows": measure_calls() + measure_web()}
        pathlib.Path(sys.argv[1]).write_text(json.dumps(result, indent=1))
    finally:
        SERVER.close()
