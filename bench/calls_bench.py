# SPDX-License-Identifier: Apache-2.0
"""Calls by the real client, and web calls, against what they cost without Thaw's share.

Run by bench/run with the client's Python: calls_bench.py OUT.json
"""
import http.client
import subprocess
import time
import urllib.parse

from measuring import HERE, percentile, row, run_bench, single, timed

RELAY = HERE.parent / "build/release/net_plain_relay"
CALLS, COLD_STARTS, REQUESTS, ROUNDS = 200, 5, 300, 5


def measure_calls(server):
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

    used = server.cpu_seconds()
    warm = timed(call, CALLS)
    used = (server.cpu_seconds() - used) / CALLS
    rows = [row("empty RPC of the same client", empty),
            row("warm .remote of a trivial function", warm, baseline=empty),
            row("  from the caller to the first line of it", ways_in),
            single("  processor time of Thaw for one", used)]
    starts = []
    for _ in range(COLD_STARTS):
        server.wait_for_zero_of("cold")
        starts += timed(cold.remote, 1)
    rows.append(row("cold .remote of a trivial function", starts, baseline=warm))
    return rows + server.stage_rows("cold")


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


class Relay:
    """The least that stands between a client and a server: the floor of what Thaw adds."""

    def __init__(self, address, port):
        self.process = subprocess.Popen([RELAY, address, str(port)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.address = f"http://127.0.0.1:{self.process.stdout.readline().split()[1]}/"

    def close(self):
        self.process.communicate()


def compare(connections):
    """All by turns, so that a noisy neighbour hits all."""
    taken = [[] for _ in connections]
    for connection in connections:
        timed(connection.get, 20)
    for _ in range(ROUNDS):
        for connection, list_ in zip(connections, taken):
            list_ += timed(connection.get, REQUESTS)
    return taken


def measure_web(server):
    import modal

    def address_of(name):
        return modal.Function.from_name("bench-trivial", name).get_web_url()

    served = Connection(address_of("server"))
    served.get()
    address = server.container_address('start_server')
    direct = Connection(f"http://{address}:8000/")
    relay = Relay(address, 8000)
    through, straight, relayed = compare([served, direct, Connection(relay.address)])
    relay.close()
    used_by_proxy = server.cpu_seconds()
    timed(served.get, REQUESTS)
    used_by_proxy = (server.cpu_seconds() - used_by_proxy) / REQUESTS
    added = percentile(through, 0.5) - percentile(straight, 0.5)
    floor = percentile(relayed, 0.5) - percentile(straight, 0.5)
    endpoint = Connection(address_of("endpoint"))
    timed(endpoint.get, 20)
    used = server.cpu_seconds()
    warm = timed(endpoint.get, REQUESTS)
    used = (server.cpu_seconds() - used) / REQUESTS
    return [row("web_server, called directly", straight, "us"),
            row("web_server, through Thaw", through, "us", baseline=straight),
            single("  added by Thaw", added),
            single("  added by a relay that only copies bytes", floor),
            single("  processor time of Thaw for one", used_by_proxy),
            row("warm fastapi_endpoint", warm, "us", baseline=straight),
            single("  processor time of Thaw for one", used)]


if __name__ == "__main__":
    run_bench(lambda server: measure_calls(server) + measure_web(server),
              HERE / "apps/trivial.py")
