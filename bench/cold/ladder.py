# SPDX-License-Identifier: Apache-2.0
"""Servers that can use one level each, and one container brought to a chosen state on them.

A level is forced by the [cold_start] settings of the server: the one that may only boot, the one
that may only fork, the one that may only restore. All run at once, so that runs of different levels
interleave and a noisy moment of the machine hits all of them. The level that a start really had is
read from `thaw logs --starts`; runs of another level are counted apart and not measured.
"""
import json
import os
import re
import time

from measuring import BenchServer

KEYS = ("forked", "restored", "frozen")
SWITCHED_ON = {"L4": (), "L2": ("forked", "frozen"), "L3": ("restored",)}
LEVEL_OF_NAME = {"warm": "L0", "frozen": "L1", "forked": "L2", "restored": "L3", "booted": "L4"}
FREEZE_AFTER_S = 0.3  # sooner than usual, so that a run takes less long
# The running and the frozen container of the forking server serve for L0 and L1.
SERVER_OF = {"L0": "L2", "L1": "L2", "L2": "L2", "L3": "L3", "L4": "L4"}


class MissingLevel(Exception):
    pass


def start_server(level):
    """Returns (server, keys that this build does not know)."""
    unknown = set()
    while True:
        keys = [key for key in KEYS if key not in unknown]
        lines = [f"{key} = {str(key in SWITCHED_ON[level]).lower()}" for key in keys]
        config = '[gpu]\nwhen_missing = "cpu"\n'
        if lines:
            if "frozen" not in unknown:
                lines.append(f"freeze_after_s = {FREEZE_AFTER_S}")
            config += "\n".join(["[cold_start]", *lines, ""])
        server = ColdServer(config=config)
        try:
            return server.start(), unknown
        except AssertionError as failure:
            refused = {key for key in keys if re.search(rf"\b{key}\b", str(failure))}
            if not refused and "cold_start" in str(failure):
                refused = set(keys)
            server.close()
            if not refused:
                raise
            unknown |= refused


def level_of(start):
    """How the container was started: its level may be that of now, such as frozen."""
    level = start.get("started_by", start["level"])
    return LEVEL_OF_NAME.get(level, level)


class ColdServer(BenchServer):
    def connect(self):
        import modal

        environment = self.client_environment()
        os.environ.update(environment)
        self.client = modal.Client.from_credentials(environment["MODAL_TOKEN_ID"],
                                                    environment["MODAL_TOKEN_SECRET"])
        self.handles = {}
        return self

    def call(self, workload, what):
        """A callable that is timed: everything that needs no container is done before."""
        import modal

        method, *arguments = what
        key = (workload.app, method)
        if key not in self.handles:
            if workload.cls:
                cls = modal.Cls.from_name(workload.app, workload.cls, client=self.client)
                found = getattr(cls(), method)
            else:
                found = modal.Function.from_name(workload.app, method, client=self.client)
            found.hydrate(self.client)
            self.handles[key] = found
        remote = self.handles[key].remote
        return lambda: remote(*arguments)

    def views(self, workload):
        shown = json.loads(self.thaw("ps", "--data", str(self.data), "--json").stdout)
        return [view for view in shown if view["app"] == workload.app]

    def last_start(self, workload):
        mine = [start for start in self.starts(workload.function.rstrip("*"))
                if start["app"] == workload.app and start["status"] != "starting"]
        return max(mine, key=lambda start: start["created_at"], default=None)

    def bring_to_zero(self, workload, timeout=60):
        limit = time.monotonic() + timeout
        asked = set()
        while views := self.views(workload):
            # Inputs of a container that is stopped while busy go to another one.
            # One that takes a snapshot ends by itself.
            for container in {view["container"] for view in views
                              if view["status"] in ("warm", "busy", "frozen")} - asked:
                stop_container(self.client, container)
                asked.add(container)
            if time.monotonic() > limit:
                raise RuntimeError(f"{workload.app} did not go to zero")
            time.sleep(0.05)
        time.sleep(0.15)  # what is left of the old container is cleared away

    def wait_until_frozen(self, workload, timeout=30):
        limit = time.monotonic() + timeout
        while time.monotonic() < limit:
            views = self.views(workload)
            if views and all(view["status"] == "frozen" for view in views):
                return
            time.sleep(0.1)
        raise MissingLevel(f"no container was frozen within {timeout} s of idling")


def stop_container(client, container):
    import modal.client
    from modal._utils.async_utils import synchronizer
    from modal_proto import api_pb2

    async def stop(client: modal.client._Client, container: str):
        await client._stub.ContainerStop(api_pb2.ContainerStopRequest(task_id=container))

    synchronizer.create_blocking(stop)(client, container)
