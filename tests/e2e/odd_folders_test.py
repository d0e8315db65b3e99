#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Odd things where a server has its own: in /run/thaw and in the cache. The server starts, or says
what is in its way; it waits for nothing, follows no link and removes nothing of others."""
import contextlib
import hashlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest

from thaw_server import THAW_BIN, E2eTest, ThawServer, deploy, main

RUN = pathlib.Path("/run/thaw")


class ApartServer(ThawServer):
    """Sees a /run/thaw of its own, which is `run`, and perhaps another cache."""

    cache = None

    def __init__(self, **options):
        super().__init__(**options)
        # In memory, as /run is: many files cost little there.
        self.run = pathlib.Path(tempfile.mkdtemp(prefix="thaw-run-", dir="/dev/shm")) / "run"
        self.run.mkdir(mode=0o755)
        RUN.mkdir(exist_ok=True)
        self.instance = hashlib.sha256(str(self.data).encode()).hexdigest()[:8]

    def command(self):
        join = f'mount --bind {self.run} {RUN} && exec "$0" "$@"'
        cache = ["env", f"THAW_IMAGE_CACHE={self.cache}"] if self.cache else []
        return ["unshare", "--mount", "sh", "-c", join, *cache, *super().command()]

    def thaw(self, *arguments, timeout=60):
        command = ["nsenter", "--mount", "--target", str(self.process.pid), THAW_BIN, *arguments]
        return subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=timeout
        )


server = ApartServer.for_module()

import modal  # noqa: E402


def setUpModule():
    unittest.addModuleCleanup(shutil.rmtree, server.run.parent, ignore_errors=True)
    deploy(server, "small.py")
    server.stop()


def make_socket(path):
    # Its name is too long for an address where it lies.
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path.name)


def make_tree(path):
    path.mkdir(parents=True)
    (path / "kept").write_text("text")


def remove(path):
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


class OddFolders(E2eTest):
    server = server

    def setUp(self):
        super().setUp()
        self.others = server.folder / "others"
        make_tree(self.others)
        (self.others / "7.json").write_text("{}")
        self.before = self.seen()

    def tearDown(self):
        self.assertEqual(self.seen(), self.before, "what a link leads to")
        shutil.rmtree(self.others)

    def seen(self):
        return sorted((str(path), path.read_text()) for path in self.others.iterdir())

    def start_and_call(self):
        server.start(timeout=90)
        server.use()
        number = modal.Function.from_name("e2e-small", "warm").remote(1)
        server.stop()
        self.assertEqual(number, 2)

    def refusal(self):
        done = subprocess.run(server.command(), capture_output=True, text=True, timeout=90)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def test_1_odd_things_in_the_run_folder_cost_themselves(self):
        ready, servers, ids = (server.run / name for name in ("ready", "servers", "ids"))
        kept = [server.run / "not of ours", ready / "4.json", ready / "6.json", ready / "a\nb.json",
                ready / "1.json", ready / "8.json", ready / "notes", servers / "a\nb",
                servers / "junk-1", ids / "2049"]  # fmt: skip
        for tree in (kept[0], ready / "4.json", servers / "feedface", ids / "2048",
                     server.run / "0ddba112"):
            make_tree(tree)
        for pipe in (ready / "1.json", servers / "abad1dea", ids / "2049",
                     server.run / "ip_forward"):
            os.mkfifo(pipe)
        for link, to in ((ready / "2.json", "/dev/zero"),
                         (ready / "3.json", self.others / "7.json"),
                         (servers / "0ddba110", self.others / "kept"),
                         (server.run / "0ddba110", self.others), (ids / "2050", "nowhere")):
            link.symlink_to(to)
        make_socket(ready / "6.json")
        make_socket(servers / "0ddba111")
        for file in (ready / "notes", ready / "a\nb.json", servers / "a\nb",
                     server.run / "0ddba113"):
            file.write_text("garbage")
        (ready / "5.json").write_bytes(os.urandom(2000))
        with (ready / "8.json").open("wb") as large:
            large.truncate(50 << 30)
        for number in range(100_000):
            (servers / f"junk-{number}").touch()
            (ready / f"{4_000_000 + number}.json").touch()
        log = server.log_path.read_text().count("\n")
        self.start_and_call()
        self.assertLess(server.log_path.read_text().count("\n") - log, 100)
        self.assertIn("no name of a server that was killed is passed over", server.log_tail(200))
        for path in kept:
            self.assertTrue(os.path.lexists(path), path)
        for gone in (ready / "5.json", ready / "4000000.json", *server.run.glob("0ddba11*")):
            self.assertFalse(os.path.lexists(gone), gone)
        # So does what the last start has left of its own.
        own = server.run / server.instance
        own.write_text("a file")
        self.start_and_call()
        own.symlink_to(self.others)
        self.start_and_call()
        own.mkdir()
        stays = own / "stays"
        stays.touch()
        if subprocess.run(["chattr", "+i", stays], capture_output=True).returncode == 0:
            self.addCleanup(subprocess.run, ["chattr", "-i", stays])
            self.start_and_call()

    def test_2_what_is_in_the_way_is_named(self):
        is_file, is_folder = (f"is to be a {kind} and is something else; move it away"
                              for kind in ("file", "folder"))  # fmt: skip
        for name, make, reason in (
            ("lock", make_tree, is_file),
            ("lock", os.mkfifo, is_file),
            ("lock", lambda path: path.symlink_to(self.others / "kept"), is_file),
            ("servers", pathlib.Path.touch, is_folder),
            ("servers", lambda path: path.symlink_to("nowhere"), is_folder),
            ("servers", lambda path: path.symlink_to(self.others), "is a link"),
            (f"servers/{server.instance}", make_tree, is_file),
            (f"servers/{server.instance}", os.mkfifo, is_file),
            ("ids", lambda path: path.symlink_to(self.others), "is a link"),
            ("ready", pathlib.Path.touch, is_folder),
            ("ready", lambda path: path.symlink_to(self.others), is_folder),
        ):
            with self.subTest(name=name, reason=reason):
                path, away = server.run / name, server.run.parent / "away"
                with contextlib.suppress(FileNotFoundError):
                    path.rename(away)
                make(path)
                self.assertIn(f"{RUN / name} {reason}", self.refusal())
                remove(path)
                if away.exists():
                    away.rename(path)
        self.start_and_call()

    def test_3_odd_things_in_the_cache_cost_themselves(self):
        server.cache = server.folder / "cache"
        self.addCleanup(setattr, server, "cache", None)
        server.cache.touch()
        self.assertIn(f"{server.cache} is to be a folder", self.refusal())
        server.cache.unlink()
        server.cache.mkdir()
        clients = server.cache / "clients"
        for make in (
            pathlib.Path.touch, os.mkfifo, make_socket,
            lambda path: path.symlink_to(path.name), lambda path: path.symlink_to("nowhere"),
        ):  # fmt: skip
            make(clients)
            server.start(timeout=90)
            server.stop()
            self.assertTrue(os.path.lexists(clients))
            clients.unlink()
        make_tree(clients / "program-1" / "lock")
        (clients / "program-2").symlink_to(self.others)
        (clients / "program-3\n").touch()
        os.mkfifo(clients / "programs.lock")
        server.start(timeout=90)
        server.stop()


if __name__ == "__main__":
    main()
