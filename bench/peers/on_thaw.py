# SPDX-License-Identifier: Apache-2.0
"""Thaw among its peers: servers of each level, asked over HTTP like the others."""
import dataclasses
import json
import pathlib
import time

import ladder  # it enters the client's environment
import modal
import systems
from thaw_server import descendants_of

APP = pathlib.Path(__file__).resolve().parent / "thaw_app.py"


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """What the servers of ladder.py call a workload, and where it answers."""

    function: str
    path: str
    app: str = "bench-peers"


ENDPOINTS = {
    "trivial": Endpoint("Trivial.", "/web/bench-peers-trivial-answer"),
    "llm": Endpoint("Model.", "/web/bench-peers-model-answer"),
    "web_server": Endpoint("served", "/web/bench-peers-served/answer"),
}
CLASSES = {"trivial": "Trivial", "llm": "Model"}


class Thaw:
    def __init__(self):
        self.servers, self.missing = {}, {}

    def start(self):
        for level in ("L4", "L2", "L3"):
            server, unknown = ladder.start_server(level)
            self.servers[level] = server.connect()
            for key, of in (("forked", "L2"), ("restored", "L3"), ("frozen", "L1")):
                if key in unknown:
                    self.missing[of] = f"this build has no setting [cold_start] {key}"
            server.modal("deploy", APP)
        return self

    def ask(self, level, name):
        server, endpoint = self.servers[ladder.SERVER_OF[level]], ENDPOINTS[name]
        status, body = systems.post(server.port, endpoint.path, {"text": systems.TEXT},
                                    host=server.address)
        if status != 200:
            raise RuntimeError(f"thaw {name}: {status} {body[:300]!r}")
        return json.loads(body)

    @staticmethod
    def born(server, name):
        cls = modal.Cls.from_name("bench-peers", CLASSES[name], client=server.client)
        return cls().born.remote()

    def sample(self, name):
        """(status, output) of one request to the server that is measured warm."""
        server, endpoint = self.servers["L4"], ENDPOINTS[name]
        status, body = systems.post(server.port, endpoint.path, {"text": systems.TEXT},
                                    host=server.address)
        return status, json.loads(body) if status == 200 else body

    def from_zero(self, level, name, expected):
        """(level that was used, seconds, the start that it comes from)."""
        server, endpoint = self.servers[ladder.SERVER_OF[level]], ENDPOINTS[name]
        server.bring_to_zero(endpoint)
        started = time.perf_counter()
        found = self.ask(level, name)
        taken = time.perf_counter() - started
        if found != expected:
            raise RuntimeError(f"thaw {name}: {found!r}, expected {expected!r}")
        return ladder.level_of(server.last_start(endpoint)), taken, self.born(server, name)

    def from_frozen(self, name, expected):
        server, endpoint = self.servers["L2"], ENDPOINTS[name]
        self.ask("L1", name)
        before = self.born(server, name)
        server.wait_until_frozen(endpoint)
        started = time.perf_counter()
        found = self.ask("L1", name)
        taken = time.perf_counter() - started
        if found != expected:
            raise RuntimeError(f"thaw {name}: {found!r}, expected {expected!r}")
        if (init := self.born(server, name)) != before:
            raise RuntimeError(f"thaw {name}: the container is not the one that was frozen")
        return "L1", taken, init

    def server_and_all(self, name, expected):
        """From the start of `thaw serve` itself to the first correct response: booted."""
        server = self.servers["L4"]
        server.bring_to_zero(ENDPOINTS[name])
        server.stop()
        started = time.perf_counter()
        server.start()
        found = self.ask("L4", name)
        taken = time.perf_counter() - started
        if found != expected:
            raise RuntimeError(f"thaw {name}: {found!r}, expected {expected!r}")
        server.connect()
        return taken

    def pids(self):
        """The server that is measured warm, its spawner and its containers."""
        process = self.servers["L4"].process.pid
        return [process, *descendants_of(process)]

    def warm_address(self, name):
        server = self.servers["L4"]
        return server.port, ENDPOINTS[name].path

    def zero(self, level, name):
        self.servers[ladder.SERVER_OF[level]].bring_to_zero(ENDPOINTS[name])

    def close(self):
        for server in self.servers.values():
            server.close()
