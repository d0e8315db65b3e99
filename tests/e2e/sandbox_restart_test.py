#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sandboxes outlive a restart of the server, however it ended, with all that runs in them."""
import os
import pathlib
import re
import signal
import time
import urllib.request

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, descendants_of, main, wait_until

server = ThawServer.for_module()

import modal  # noqa: E402
import modal.exception  # noqa: E402
from modal_proto import api_pb2 as pb  # noqa: E402

APP = "e2e-sandbox-restarts"
app = None


def setUpModule():
    global app
    app = modal.App.lookup(APP, create_if_missing=True)


def create(*command, **options):
    return modal.Sandbox.create(*command, app=app, **{"timeout": 600, **options})


def restart_killed():
    server.kill()
    server.start()


def restart_stopped():
    server.stop()
    server.start()


def processes_with(mark):
    """Of the whole machine: those of a server that has gone have no ancestor that tells of it."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("latin-1"):
                    found.append(int(entry.name))
            except OSError:
                pass
    return [pid for pid in found if pid != os.getpid()]


def result_of(sandbox):
    request = pb.SandboxWaitRequest(sandbox_id=sandbox.object_id)
    return server.rpc("SandboxWaitV2", request).result


def is_answered(place):
    try:
        with urllib.request.urlopen(place, timeout=CALL_TIMEOUT) as answer:
            return answer.status == 200
    except OSError:
        return False


class GoesOn(E2eTest):
    server = server

    def walk(self, restart, name):
        sandbox = create("sleep", "100000", name=name, tags={"of": name})
        self.addCleanup(lambda: sandbox.terminate())
        sandbox.filesystem.write_text("words", "/work/file.txt")
        asked = sandbox.exec("sh", "-c", "read a; echo got $a; cat; exit 7")
        asked.stdin.write("before\n")
        asked.stdin.drain()
        terminal = sandbox.exec("sh", "-c", "read a; echo typed $a", pty=True)
        brief = sandbox.exec("sh", "-c", "sleep 1; echo last words; exit 9")
        restart()
        found = modal.Sandbox.from_id(sandbox.object_id)
        self.assertIsNone(found.poll())
        self.assertEqual(found.get_tags(), {"of": name})
        self.assertEqual(modal.Sandbox.from_name(APP, name).object_id, sandbox.object_id)
        self.assertEqual(found.filesystem.read_text("/work/file.txt"), "words")
        self.assertEqual(found.exec("echo", "new").stdout.read(), "new\n")
        asked.stdin.write("after\n")
        asked.stdin.write_eof()
        asked.stdin.drain()
        self.assertEqual(asked.stdout.read(), "got before\nafter\n")
        self.assertEqual(asked.wait(), 7)
        terminal.stdin.write("words\n")
        terminal.stdin.drain()
        self.assertIn("typed words", terminal.stdout.read())
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(brief.wait(), 9)
        self.assertEqual(brief.stdout.read(), "last words\n")
        found.set_tags({"of": "later"})
        image = found.snapshot_filesystem()
        self.assertEqual(create("cat", "/work/file.txt", image=image).stdout.read(), "words")
        found.terminate(wait=True)
        self.assertEqual(found.poll(), 137)
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Sandbox.from_name(APP, name)

    def test_after_the_server_was_killed(self):
        self.walk(restart_killed, "killed")

    def test_after_the_server_was_stopped(self):
        self.walk(restart_stopped, "stopped")

    def test_its_ports_tokens_and_lists_hold(self):
        serve = ("python", "-m", "http.server", "8000")
        ports = {"unencrypted_ports": [8000], "outbound_cidr_allowlist": []}
        opened = create(*serve, **ports, inbound_cidr_allowlist=["127.0.0.0/8"])
        closed = create(*serve, **ports, inbound_cidr_allowlist=["10.99.0.0/16"])
        self.addCleanup(lambda: [one.terminate() for one in (opened, closed)])
        for one in (opened, closed):  # one that is still being started has nothing to keep
            self.assertEqual(one.exec("true").wait(), 0)
        token = opened.create_connect_token(port=8000)
        label = re.search("box-[0-9a-f]{40}", token.url).group()
        restart_killed()
        head = {"authorization": f"Bearer {token.token}"}
        by_token = urllib.request.Request(f"http://{server.address}/web/{label}/", headers=head)
        wait_until(lambda: is_answered(by_token), CALL_TIMEOUT, "its token opens it")
        # Their numbers are others now.
        opened, closed = (modal.Sandbox.from_id(one.object_id) for one in (opened, closed))
        places = ["http://%s:%s/" % one.tunnels()[8000].tcp_socket for one in (opened, closed)]
        wait_until(lambda: is_answered(places[0]), CALL_TIMEOUT, "its port is open")
        self.assertFalse(is_answered(places[1]))
        # Only a rule refuses so.
        send = "import socket as s; s.socket(type=s.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))"
        self.assertIn("PermissionError", opened.exec("python", "-c", send).stderr.read())

    def test_no_byte_of_what_is_printed_is_lost(self):
        sandbox = create("sleep", "100000")
        self.addCleanup(sandbox.terminate)
        lines = 400_000
        program = f"for i in range({lines}): print(i)"
        printers = [sandbox.exec("python", "-c", program) for _ in range(3)]
        for _ in range(3):
            time.sleep(0.1)
            restart_killed()
        expected = "".join(f"{i}\n" for i in range(lines))
        for printer in printers:
            text = printer.stdout.read()
            self.assertEqual(len(text), len(expected))
            self.assertTrue(text == expected)
            self.assertEqual(printer.wait(), 0)

    def test_output_of_its_own_program_and_its_code_are_told_after_an_end_without_a_server(self):
        sandbox = create("sh", "-c", "echo begun; sleep 2; echo done; exit 5")
        wait_until(lambda: next(iter(sandbox.stdout), "") == "begun\n", CALL_TIMEOUT, "it runs")
        server.kill()
        time.sleep(3)
        server.start()
        again = modal.Sandbox.from_id(sandbox.object_id)
        again.wait(raise_on_termination=False)
        self.assertEqual(again.returncode, 5)
        self.assertEqual(again.stdout.read(), "begun\ndone\n")

    def test_many_over_many_restarts_cost_nothing_more(self):
        sandboxes = [create("sleep", "100000") for _ in range(20)]
        for sandbox in sandboxes:  # one that is still being started has nothing to keep
            self.assertEqual(sandbox.exec("true").wait(), 0)
        keeper = server.keeper()
        seen = []
        for _ in range(3):
            restart_killed()
            self.assertEqual(server.keeper(), keeper)
            for sandbox in sandboxes:
                self.assertEqual(sandbox.exec("true").wait(), 0)
            status = pathlib.Path(f"/proc/{keeper}/status").read_text()
            memory = int(status.split("VmRSS:")[1].split()[0])
            seen.append((len(os.listdir(f"/proc/{keeper}/fd")), memory))
        print("the keeper's descriptors and kB of memory after each restart:", seen)
        self.assertLessEqual(seen[-1][0], seen[0][0] + 10)
        self.assertLessEqual(seen[-1][1], seen[0][1] + 2048)
        for sandbox in sandboxes:
            sandbox.terminate()


class Ends(E2eTest):
    server = server

    def test_its_timeout_counts_on_while_there_is_no_server(self):
        mark = f"7{os.getpid()}.5"
        sandbox = create("sleep", mark, timeout=6)
        wait_until(lambda: processes_with(mark), CALL_TIMEOUT, "it runs")
        server.kill()
        self.assertTrue(processes_with(mark))
        wait_until(lambda: not processes_with(mark), CALL_TIMEOUT, "who keeps it ends it")
        wait_until(lambda: not server.keeper(), CALL_TIMEOUT, "nothing is left to keep")
        server.start()
        again = modal.Sandbox.from_id(sandbox.object_id)
        with self.assertRaises(modal.exception.SandboxTimeoutError):
            again.wait()
        self.assertEqual(again.returncode, 124)

    def test_ctrl_c_ends_it(self):
        mark = f"8{os.getpid()}.5"
        sandbox = create("sleep", mark)
        wait_until(lambda: processes_with(mark), CALL_TIMEOUT, "it runs")
        server.interrupt()
        self.assertEqual(processes_with(mark), [])
        self.assertIsNone(server.keeper())
        self.assertIn('"sandboxes":"end"', server.log_path.read_text())
        server.start()
        self.assertEqual(modal.Sandbox.from_id(sandbox.object_id).poll(), 137)

    def test_it_ends_with_who_keeps_it_and_its_record_says_so(self):
        mark = f"9{os.getpid()}.5"
        sandbox = create("sleep", mark)
        wait_until(lambda: processes_with(mark), CALL_TIMEOUT, "it runs")
        server.kill()
        os.kill(server.keeper(), signal.SIGKILL)
        wait_until(lambda: not processes_with(mark), CALL_TIMEOUT, "it ends with it")
        server.start()
        again = modal.Sandbox.from_id(sandbox.object_id)
        self.assertEqual(again.poll(), 137)
        result = result_of(again)
        self.assertEqual(result.status, pb.GenericResult.GENERIC_STATUS_INTERNAL_FAILURE)
        self.assertIn("server", result.exception)

    def test_a_server_that_is_told_otherwise_ends_what_was_left_to_it(self):
        mark = f"6{os.getpid()}.5"
        sandbox = create("sleep", mark)
        wait_until(lambda: processes_with(mark), CALL_TIMEOUT, "it runs")
        server.kill()
        before = server.config
        head, line = "[containers]\n", "boxes_outlive_server = false\n"
        rest = before if head in before else head + before
        server.config = rest.replace(head, head + line, 1)
        try:
            server.start()
            self.assertEqual(processes_with(mark), [])
            self.assertEqual(modal.Sandbox.from_id(sandbox.object_id).poll(), 137)
        finally:
            server.interrupt()
            server.config = before
            server.start()

    def test_nothing_is_left_when_all_have_ended(self):
        sandboxes = [create("sleep", "100000") for _ in range(3)]
        restart_killed()
        for sandbox in sandboxes:
            modal.Sandbox.from_id(sandbox.object_id).terminate(wait=True)
        keeper = server.keeper()
        server.stop()
        wait_until(lambda: not descendants_of(keeper) - {keeper}, CALL_TIMEOUT, "no child of it")
        wait_until(lambda: not pathlib.Path(f"/proc/{keeper}").exists(), CALL_TIMEOUT, "it ends")
        instance = server.instance()
        groups = [path for path in pathlib.Path("/sys/fs/cgroup").rglob(f"thaw-{instance}")]
        self.assertEqual(groups, [])
        self.assertNotIn(f"tw-{instance}", pathlib.Path("/proc/net/dev").read_text())
        self.assertFalse(pathlib.Path(f"/run/thaw/keepers/{instance}").exists())
        self.assertFalse(pathlib.Path(f"/run/thaw/{instance}").exists())
        mounts = pathlib.Path("/proc/self/mounts").read_text()
        self.assertNotIn(str(server.data), mounts)
        server.start()


if __name__ == "__main__":
    main()
