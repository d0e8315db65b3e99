#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A data folder on a small disk that fills up: what cannot be kept is refused in words, nothing
that was acknowledged is lost, and when there is room again all goes on without a restart."""
import atexit
import pathlib
import subprocess
import tempfile
import time

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, skip_all, wait_until

DISK_MB = 900
disk = pathlib.Path(tempfile.mkdtemp(prefix="thaw-small-"))
mounted = subprocess.run(
    ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(disk)], capture_output=True
)
if mounted.returncode != 0:
    skip_all("a small disk cannot be mounted: " + mounted.stderr.decode())


def unmount():
    subprocess.run(["umount", "-l", str(disk)], check=False)
    disk.rmdir()


atexit.register(unmount)
server = ThawServer.for_module(data=disk / "data")

import modal  # noqa: E402

ballast = disk / "ballast"


def setUpModule():
    deploy(server, "calls.py")
    assert function("square").remote(2) == 4


def function(name):
    return modal.Function.from_name("e2e-calls", name)


def fill():
    """Leaves no room at all: what others have reserved is taken as well."""
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                pass


class FullDisk(E2eTest):
    server = server

    def assert_speaks_of_the_disk(self, failure):
        self.assertIn("disk is full", failure)
        self.assertNotIn(str(server.data), failure)
        for word in ("COMMIT", "INSERT", "SAVEPOINT"):
            self.assertNotIn(word, failure)

    def test_full_and_room_again(self):
        acknowledged = [function("square").spawn(n) for n in range(20)]
        running = function("slow").spawn(4)
        fill()
        failures = 0
        for number in range(20, 60):
            try:
                acknowledged.append(function("square").spawn(number))
            except Exception as failure:  # noqa: BLE001 (any of the client's)
                failures += 1
                self.assert_speaks_of_the_disk(str(failure))
        self.assertGreater(failures, 0)
        with self.assertRaises(Exception) as caught:
            modal.Volume.from_name("e2e-no-room", create_if_missing=True).hydrate()
        self.assertNotIn(str(server.data), str(caught.exception))
        done = server.modal("secret", "create", "e2e-no-room", "KEY=value", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assert_speaks_of_the_disk(" ".join((done.stdout + done.stderr).split()))
        self.assertNotIn("e2e-no-room", server.modal("secret", "list").stdout)
        # A deployment that cannot be published leaves the one before it as it is.
        self.assertNotEqual(server.modal("deploy", "calls.py", check=False).returncode, 0)
        # What needs no disk goes on.
        self.assertEqual(function("square").remote(7), 49)
        time.sleep(5)  # time limits and scaling go on meanwhile; the call that runs ends
        self.assertIsNone(server.process.poll())
        ballast.unlink()
        wait_until(self.takes_calls, 60, "calls are taken again")
        self.assertTrue(running.get(timeout=CALL_TIMEOUT).startswith("ta-"))
        results = [call.get(timeout=CALL_TIMEOUT) for call in acknowledged]
        self.assertEqual(results, [n**2 for n in range(20)] + sorted(results[20:]))
        deploy(server, "calls.py")
        self.assertEqual(function("square").remote(9), 81)
        server.modal("secret", "create", "e2e-room", "KEY=value")
        self.assertIn("e2e-room", server.modal("secret", "list").stdout)
        self.assertEqual(server.stop(), 0)
        server.start()
        server.use()
        self.assertEqual(function("square").remote(8), 64)
        self.assertEqual(modal.FunctionCall.from_id(acknowledged[0].object_id).get(timeout=30), 0)

    def takes_calls(self):
        try:
            return function("square").spawn(9).get(timeout=CALL_TIMEOUT) == 81
        except Exception:  # noqa: BLE001
            return False


if __name__ == "__main__":
    main()
