#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`thaw serve` on a machine: how it starts, what it refuses, what it leaves behind."""
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

from thaw_server import THAW_BIN, E2eTest, ThawServer, deploy, descendants_of, main, wait_until

RUN = pathlib.Path("/run/thaw")


def machine_state():
    """What a server must not leave behind: mounts, links, cgroups, firewall tables, files."""
    mounts = {line.split()[4] for line in open("/proc/self/mountinfo")}
    links = set(os.listdir("/sys/class/net"))
    cgroups = set()
    for folder, _, _ in os.walk("/sys/fs/cgroup"):
        if "thaw" in folder:
            cgroups.add(folder)
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
    files = {str(path) for path in RUN.glob("**/*")} - {str(RUN / "lock")}  # which others may hold
    forward = pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()
    return {
        "mounts": mounts,
        "links": links,
        "cgroups": cgroups,
        "tables": set(tables.splitlines()),
        "forwarding": {forward},
        "files": files,
    }


def left_behind(before):
    after = machine_state()
    return {kind: after[kind] - before[kind] for kind in after if after[kind] - before[kind]}


def run_briefly(*arguments, **options):
    return subprocess.run(
        [str(THAW_BIN), *arguments], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip


class Serve(E2eTest):
    def test_port_zero_takes_a_free_port_and_the_ready_line_names_it(self):
        first, second = ThawServer().start(), ThawServer().start()
        try:
            self.assertNotEqual(first.port, second.port)
            self.assertGreater(first.port, 0)
        finally:
            first.close()
            second.close()

    def test_a_port_in_use_is_an_error_that_names_it(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            with tempfile.TemporaryDirectory() as folder:
                done = run_briefly("serve", "--listen", address, "--data", f"{folder}/data")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(address, done.stderr)

    def test_a_data_folder_in_use_is_an_error_that_names_it(self):
        server = ThawServer().start()
        try:
            done = run_briefly("serve", "--listen", "127.0.0.1:0", "--data", str(server.data))
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(str(server.data), done.stderr)
        finally:
            server.close()

    def test_without_root_it_says_what_it_needs(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)
            done = run_briefly(
                "serve", "--listen", "127.0.0.1:0", "--data", f"{folder}/data", user=65534
            )
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, "(?i)root")

    def test_a_wrong_address_or_option_is_an_error_and_not_a_crash(self):
        wrong_options = (["serve", "--listen", "nonsense"], ["serve", "--no-such-option"])
        lines = (*wrong_options, ["bake"], ["token", "bake"])
        for arguments in lines:
            with self.subTest(arguments=arguments), tempfile.TemporaryDirectory() as folder:
                options = ["--data", f"{folder}/data"] if arguments[0] == "serve" else []
                done = run_briefly(*arguments, *options)
                self.assertGreater(done.returncode, 0, "it ended well, or by a signal")
                self.assertIn(arguments[-1], done.stderr)

    def test_env_prints_exports_that_the_client_understands(self):
        server = ThawServer().start()
        try:
            found = server.client_environment()
            self.assertEqual(found["MODAL_SERVER_URL"], server.url)
            self.assertTrue(found["MODAL_TOKEN_ID"] and found["MODAL_TOKEN_SECRET"])
            shell = f'eval "$("{THAW_BIN}" env --data "{server.data}")"; echo "$MODAL_SERVER_URL"'
            answer = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60)
            self.assertEqual(answer.stdout.strip(), server.url)
        finally:
            server.close()

    def test_every_verb_has_help(self):
        for verb in ("serve", "env", "token", "ps", "logs", "doctor", "version"):
            with self.subTest(verb=verb):
                done = run_briefly(verb, "--help")
                self.assertEqual(done.returncode, 0)
                self.assertIn(verb, done.stdout)
        self.assertRegex(run_briefly("version").stdout, r"\d+\.\d+\.\d+")


class Leftovers(E2eTest):
    """Looks at all that there is of Thaw on the machine: no other server runs beside it."""

    def start_with_a_container(self):
        server = ThawServer().start()
        deploy(server, "scaling.py")
        wait_until(server.containers, 300, "the function that is kept warm has its container")
        return server

    def assert_nothing_left(self, before):
        """The kernel frees namespaces and links a moment after the last process."""
        deadline = time.monotonic() + 15
        while left_behind(before) and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertEqual(left_behind(before), {})

    def assert_at_rest(self, data):
        """The data folder holds what is durable, and nothing of a running server."""
        kept = ("instances", "lock", "keeper-key")
        left = [path for path in data.glob("sandboxes/*") if path.name not in kept]
        self.assertEqual(left, [])
        self.assertEqual([path for path in data.glob("*") if path.is_socket()], [])
        self.assertEqual(list((data / "snapshots").glob("staging/*")), [])

    def test_a_clean_stop_leaves_nothing_behind(self):
        before = machine_state()
        server = self.start_with_a_container()
        family = descendants_of(server.process.pid)
        self.assertEqual(server.stop(), 0)
        alive = [pid for pid in family if os.path.exists(f"/proc/{pid}")]
        self.assertEqual(alive, [])
        self.assert_nothing_left(before)
        self.assert_at_rest(server.data)
        server.close()

    def test_the_next_start_cleans_up_after_a_kill(self):
        before = machine_state()
        server = self.start_with_a_container()
        family = descendants_of(server.process.pid)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.start()
        wait_until(
            lambda: not [pid for pid in family if os.path.exists(f"/proc/{pid}")],
            60, "the dead server's containers are gone",
        )  # fmt: skip
        self.assertEqual(server.stop(), 0)
        self.assert_nothing_left(before)
        self.assert_at_rest(server.data)
        server.close()


if __name__ == "__main__":
    main()
