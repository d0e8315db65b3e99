#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`modal run`: the quickstart literally, where it ran, and what is left afterwards."""
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from thaw_server import APPS, ROOT, E2eTest, ThawServer, main, wait_until

server = ThawServer.for_module()
started = time.monotonic()


class Run(E2eTest):
    server = server

    def test_the_quickstart_prints_from_the_container_and_ends(self):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(ROOT / "examples" / "get_started" / "get_started.py", folder)
            done = server.modal("run", "get_started.py", cwd=folder)
        self.assertIn("This code is running on a remote worker!", done.stdout)
        self.assertIn("the square is 1764", done.stdout)
        self.assertIn("App completed", done.stdout)
        self.assertNotIn("Timed out", done.stdout + done.stderr)
        server.wait_for_zero(30)

    def test_the_function_runs_in_namespaces_of_its_own(self):
        number = random.randrange(10**6, 10**9)
        done = server.modal("run", APPS / "where.py", "--number", number)
        inside = json.loads(re.search(r"^inside: (.+)$", done.stdout, re.M).group(1))
        returned = json.loads(re.search(r"^returned: (.+)$", done.stdout, re.M).group(1))
        self.assertEqual(inside, returned)
        self.assertEqual(inside["square"], number**2)
        self.assertNotEqual(inside["hostname"], socket.gethostname())
        for name in ("mnt", "pid", "net", "uts", "ipc", "cgroup"):
            with self.subTest(namespace=name):
                outside = os.readlink(f"/proc/self/ns/{name}")
                self.assertNotEqual(inside["namespaces"][name], outside)
        for python in {"/usr/local/bin/python", sys.executable, "/usr/bin/python3"}:
            if os.path.exists(python):
                self.assertNotEqual(inside["python_inode"], os.stat(python).st_ino)
        self.assertIn(1, inside["pids"])
        self.assertLess(len(inside["pids"]), 10, "the host's processes are visible")
        self.assertEqual(inside["cwd"], "/root")

    def test_without_a_token_the_client_says_so(self):
        environment = {"MODAL_TOKEN_ID": None, "MODAL_TOKEN_SECRET": None}
        done = server.modal("run", APPS / "where.py", "--number", 2, env=environment, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Token missing", done.stderr)

    def test_an_ephemeral_app_dies_with_its_client(self):
        environment = {**os.environ, **server.client_environment()}
        with open(server.folder / "client.log", "wb") as log:
            client = subprocess.Popen(
                [sys.executable, "-m", "modal", "run", str(APPS / "sleeper.py")],
                env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            wait_until(server.containers, 300, "the function's container has started")
        finally:
            client.kill()
            client.wait()
        server.wait_for_zero(180)

    def test_an_app_that_is_just_being_made_is_not_taken_for_abandoned(self):
        server.use()
        import modal

        def make_apps(until):
            made = 0
            while time.monotonic() < until:
                with modal.App(f"e2e-made-{made}").run():  # fails if it was stopped meanwhile
                    made += 1
            return made

        # Every 2 s the server looks for apps without heartbeats, in earnest when it is 60 s old.
        wait_until(lambda: time.monotonic() > started + 62, 70, "the server is old enough")
        until = time.monotonic() + 9
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertGreater(sum(pool.map(make_apps, [until] * 8)), 50)

    def test_a_detached_app_outlives_its_client(self):
        environment = {**os.environ, **server.client_environment()}
        with open(server.folder / "detached.log", "wb") as log:
            client = subprocess.Popen(
                [sys.executable, "-m", "modal", "run", "--detach", str(APPS / "sleeper.py")],
                env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            wait_until(server.containers, 300, "the function's container has started")
        finally:
            client.kill()
            client.wait()
        [app] = json.loads(server.modal("app", "list", "--json").stdout)[-1:]
        identity = next(value for value in app.values() if str(value).startswith("ap-"))
        self.assertIn("detached", json.dumps(app).lower())
        self.assertTrue(server.containers(), "it ended with its client")
        server.modal("app", "stop", "--yes", identity)
        server.wait_for_zero(60)

    def test_ctrl_c_stops_the_app_and_its_containers(self):
        environment = {**os.environ, **server.client_environment(), "PYTHONUNBUFFERED": "1"}
        log_path = pathlib.Path(server.folder / "interrupted.log")
        with open(log_path, "wb") as log:
            client = subprocess.Popen(
                [sys.executable, "-m", "modal", "run", str(APPS / "sleeper.py")],
                env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            printed = b"sleeping unmarked in"
            wait_until(lambda: printed in log_path.read_bytes(), 300, "the live log arrives")
            client.send_signal(signal.SIGINT)
            client.wait(60)
        finally:
            if client.poll() is None:
                client.kill()
        server.wait_for_zero(30)


if __name__ == "__main__":
    main()
