#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Restored programs allocate and give back memory as if they had never been stopped."""
import concurrent.futures
import pathlib

from thaw_server import (
    BUILD_TIMEOUT, E2eTest, ThawServer, deploy, main, skip_all, wait_until,
)  # fmt: skip

CRIU = pathlib.Path("/usr/local/lib/thaw/criu/criu")
if not CRIU.exists():
    skip_all(f"there is no {CRIU}; tools/setup installs it")

# What stands by is standby_test.py's.
server = ThawServer.for_module(config="[cold_start]\nstandby_s = 0\n")

import modal  # noqa: E402

ROUNDS = 4
NAMES = ["Glibc", "Jemalloc", "Mimalloc", "Tcmalloc", "Jvm", "Node"]


def setUpModule():
    deploy(server, "allocators.py", timeout=BUILD_TIMEOUT)


def call(name):
    return modal.Cls.from_name("e2e-allocators", name)().churn.remote(ROUNDS)


def call_all():
    with concurrent.futures.ThreadPoolExecutor(len(NAMES)) as pool:
        return dict(zip(NAMES, pool.map(call, NAMES)))


def snapshots():
    lines = server.log_path.read_text(errors="replace").splitlines()
    return [name for name in NAMES
            if any('"snapshot taken"' in line and f'"{name}.*"' in line for line in lines)]


class Allocators(E2eTest):
    server = server

    def test_what_was_restored_allocates_and_gives_back(self):
        booted = call_all()
        self.assertEqual(booted, dict.fromkeys(NAMES, (False, [])))
        wait_until(lambda: snapshots() == NAMES, 100, "all snapshots are taken")
        for _ in range(2):
            wait_until(lambda: not server.running(), 60, "all containers are gone")
            # Where V8 runs pages are read, and it would end if they were not.
            self.assertEqual(call_all(), {name: (name != "Node", []) for name in NAMES})


if __name__ == "__main__":
    main()
