#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`modal run`: the quickstart literally, where it ran, and what is left afterwards."""
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

from thaw_server import APPS, ROOT, E2eTest, ThawServer, main, wait_until

server = ThawServer.for_module()
server.by_fork = False  # as people give the command


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
