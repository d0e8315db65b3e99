#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sandboxes by the real client: their life, their streams, processes in them, and what is left."""
import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from thaw_server import (
    BUILD_TIMEOUT, CALL_TIMEOUT, ROOT, E2eTest, ThawServer, descendants_of, main, wait_until,
)  # fmt: skip

CONFIG = """
[containers]
max_boxes = 40
[web]
domain = "boxes.test"
trusted_proxies = ["127.0.0.1/32"]
"""
server = ThawServer.for_module(config=CONFIG)

import grpclib  # noqa: E402
import grpclib.client  # noqa: E402
import modal  # noqa: E402
import modal.exception  # noqa: E402
from modal_proto import api_pb2 as pb  # noqa: E402

APP = "e2e-sandboxes"
app = None


def setUpModule():
    global app
    app = modal.App.lookup(APP, create_if_missing=True)


def create(*command, **options):
    return modal.Sandbox.create(*command, app=app, **{"timeout": 300, **options})


def mirror_image():
    """The id of the image that sandboxes have by themselves, for requests that are made by hand."""
    request = pb.SandboxListRequest(app_id=app.app_id, include_finished=True)
    wanted = server.rpc("SandboxList", request).sandboxes
    return wanted[0].image_id if wanted else mirror_image_of(create("true"))


def mirror_image_of(sandbox):
    sandbox.wait()
    return mirror_image()


def processes_named(text):
    """Of this server's containers those whose command line has these words."""
    found = []
    for pid in descendants_of(server.process.pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in words:
            found.append(pid)
    return found


class Life(E2eTest):
    server = server

    def test_a_program_runs_and_its_output_and_code_are_its_makers(self):
        sandbox = create("sh", "-c", "echo to out; echo to err >&2; exit 7")
        self.assertEqual(sandbox.stdout.read(), "to out\n")
        self.assertEqual(sandbox.stderr.read(), "to err\n")
        sandbox.wait()
        self.assertEqual(sandbox.returncode, 7)
        self.assertEqual(sandbox.poll(), 7)

    def test_output_can_be_read_after_the_end_and_line_by_line(self):
        sandbox = create("sh", "-c", "for i in 1 2 3; do echo line $i; done; printf tail")
        sandbox.wait()
        self.assertEqual(sandbox.returncode, 0)
        self.assertEqual(list(sandbox.stdout), ["line 1\n", "line 2\n", "line 3\n", "tail"])
        again = modal.Sandbox.from_id(sandbox.object_id)
        self.assertEqual(again.returncode, 0)
        self.assertEqual(again.stdout.read(), "line 1\nline 2\nline 3\ntail")

    def test_one_that_runs_says_so_until_it_is_terminated(self):
        sandbox = create("sleep", "1000")
        self.assertIsNone(sandbox.poll())
        self.assertIsNone(sandbox.returncode)
        self.assertEqual(sandbox.terminate(wait=True), 137)
        with self.assertRaises(modal.exception.SandboxTerminatedError):
            sandbox.wait()
        sandbox.wait(raise_on_termination=False)
        self.assertEqual(sandbox.returncode, 137)
        sandbox.terminate()  # again, and nothing happens

    def test_its_program_reads_what_is_written_to_it(self):
        sandbox = create("cat")
        sandbox.stdin.write("first\n")
        sandbox.stdin.drain()
        sandbox.stdin.write(b"second\n")
        sandbox.stdin.write_eof()
        sandbox.stdin.drain()
        self.assertEqual(sandbox.stdout.read(), "first\nsecond\n")
        sandbox.wait()
        self.assertEqual(sandbox.returncode, 0)

    def test_it_gets_folder_variables_and_secrets(self):
        modal.Secret.objects.create("box-key", {"KEY": "of the store"}, allow_existing=True)
        sandbox = create(
            "sh", "-c", "echo $PWD $A $B $KEY", workdir="/made/here", env={"A": "1"},
            secrets=[modal.Secret.from_dict({"B": "2"}), modal.Secret.from_name("box-key")],
        )  # fmt: skip
        self.assertEqual(sandbox.stdout.read(), "/made/here 1 2 of the store\n")
        sandbox.wait()

    def test_without_a_command_the_images_own_runs(self):
        sandbox = create()
        process = sandbox.exec("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        self.assertIn("sleep 172800", process.stdout.read())
        sandbox.terminate()

    def test_a_time_limit_ends_it(self):
        sandbox = create("sleep", "1000", timeout=1)
        with self.assertRaises(modal.exception.SandboxTimeoutError):
            sandbox.wait()
        self.assertEqual(sandbox.returncode, 124)

    def test_one_that_nothing_uses_ends_after_its_idle_time(self):
        sandbox = create("sleep", "1000", idle_timeout=1)
        busy = sandbox.exec("sleep", "3")
        self.assertEqual(busy.wait(), 0)
        self.assertIsNone(sandbox.poll())
        wait_until(lambda: sandbox.poll() is not None, CALL_TIMEOUT, "the idle sandbox ends")
        self.assertEqual(sandbox.returncode, 137)

    def test_memory_past_its_limit_ends_its_program(self):
        eat = "b = bytearray(300 << 20)\nprint(len(b))"
        sandbox = create("python", "-c", eat, memory=(64, 128))
        sandbox.wait()
        self.assertEqual(sandbox.returncode, 137)
        self.assertEqual(sandbox.stdout.read(), "")

    def test_what_cannot_be_started_says_why(self):
        sandbox = create("no-such-program")
        sandbox.wait()
        self.assertNotEqual(sandbox.returncode, 0)
        reply = server.rpc("SandboxWaitV2", pb.SandboxWaitRequest(sandbox_id=sandbox.object_id))
        self.assertEqual(reply.result.status, pb.GenericResult.GENERIC_STATUS_INIT_FAILURE)
        self.assertIn("no-such-program", reply.result.exception)
        with self.assertRaises(modal.exception.Error):
            sandbox.exec("true")

    def test_the_network_can_be_closed(self):
        look = "ls /sys/class/net"
        closed = create("sh", "-c", look, block_network=True)
        self.assertEqual(closed.stdout.read().split(), ["lo"])
        opened = create("sh", "-c", look)
        self.assertIn("eth0", opened.stdout.read().split())

    def test_it_is_ready_when_its_probe_says_so(self):
        serve = (
            "import http.server as h, time; time.sleep(1); "
            "h.test(h.SimpleHTTPRequestHandler, port=8123)"
        )
        listening = create("python", "-c", serve, readiness_probe=modal.Probe.with_tcp(8123))
        listening.wait_until_ready(timeout=CALL_TIMEOUT)
        look = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8123').status)"
        self.assertEqual(listening.exec("python", "-c", look).stdout.read(), "200\n")
        listening.terminate()
        probe = modal.Probe.with_exec("test", "-e", "/tmp/ready")
        program = "sleep 1; touch /tmp/ready; sleep 1000"
        looked_at = create("sh", "-c", program, readiness_probe=probe)
        looked_at.wait_until_ready(timeout=CALL_TIMEOUT)
        looked_at.terminate()
        never = create("sleep", "1000", readiness_probe=modal.Probe.with_tcp(8123))
        with self.assertRaises(modal.exception.TimeoutError):
            never.wait_until_ready(timeout=1)
        never.terminate()

    def test_volumes_are_mounted(self):
        with modal.Volume.ephemeral() as volume:
            writer = create("sh", "-c", "echo kept > /data/file", volumes={"/data": volume})
            writer.wait()
            self.assertEqual(writer.returncode, 0)
            self.assertEqual(b"".join(volume.read_file("file")), b"kept\n")
            reader = create("cat", "/data/file", volumes={"/data": volume})
            self.assertEqual(reader.stdout.read(), "kept\n")

    def test_it_ends_with_its_app(self):
        with modal.App("short-lived").run() as short:
            sandbox = modal.Sandbox.create("sleep", "1000", app=short, timeout=300)
            self.assertIsNone(sandbox.poll())
        wait_until(lambda: sandbox.poll() is not None, CALL_TIMEOUT, "it ends with its app")

    def test_nothing_of_it_is_left(self):
        mark = f"{os.getpid()}.25"
        sandbox = create("sh", "-c", f"sleep 7{mark} & setsid sleep 8{mark} & sleep 9{mark}")
        wait_until(lambda: processes_named(mark), CALL_TIMEOUT, "its processes run")
        sandbox.terminate(wait=True)
        self.assertEqual(processes_named(mark), [])


class CommandLine(E2eTest):
    server = server

    def test_containers_are_listed_entered_and_stopped(self):
        sandbox = create("sleep", "1000")
        request = pb.SandboxGetTaskIdRequest(sandbox_id=sandbox.object_id)
        task = server.rpc("SandboxGetTaskIdV2", request).task_id
        self.assertIn(task, server.modal("container", "list", "--json").stdout)
        done = server.modal("container", "exec", "--no-pty", task, "--", "echo", "from inside")
        self.assertIn("from inside", done.stdout)
        server.modal("container", "stop", "--yes", task)
        wait_until(lambda: sandbox.poll() is not None, CALL_TIMEOUT, "it has ended")
        self.assertNotIn(task, server.modal("container", "list", "--json").stdout)

    def test_a_shell(self):
        done = server.modal("shell", "--no-pty", "--cmd", "echo $((6 * 7))")
        self.assertIn("42", done.stdout)


class Names(E2eTest):
    server = server

    def test_names_and_tags_find_them(self):
        sandbox = create("sleep", "1000", name="named", tags={"of": "names", "n": "1"})
        other = create("sleep", "1000", tags={"of": "names", "n": "2"})
        self.addCleanup(other.terminate)
        with self.assertRaises(modal.exception.AlreadyExistsError):
            create("sleep", "1000", name="named")
        found = modal.Sandbox.from_name(APP, "named")
        self.assertEqual(found.object_id, sandbox.object_id)
        self.assertEqual(sandbox.get_tags(), {"of": "names", "n": "1"})

        def listed(**tags):
            return {one.object_id for one in modal.Sandbox.list(app_id=app.app_id, tags=tags)}

        both = {sandbox.object_id, other.object_id}
        self.assertEqual(listed(of="names"), both)
        self.assertEqual(listed(of="names", n="2"), {other.object_id})
        sandbox.set_tags({"of": "others"})
        self.assertEqual(sandbox.get_tags(), {"of": "others"})
        self.assertEqual(listed(of="names"), {other.object_id})
        sandbox.terminate(wait=True)
        self.assertEqual(listed(of="others"), set())
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Sandbox.from_name(APP, "named")
        again = create("sleep", "1000", name="named")
        self.assertEqual(modal.Sandbox.from_name(APP, "named").object_id, again.object_id)
        again.terminate()

    def test_what_does_not_exist_is_not_found(self):
        for id in ("sb-" + "a" * 22, "sb-" + "A" * 26, "sb-x", "nothing"):
            with self.assertRaises((modal.exception.NotFoundError, modal.exception.InvalidError)):
                modal.Sandbox.from_id(id).poll()
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Sandbox.from_name("no-such-app", "named")

    def test_more_than_the_workspaces_share_is_refused(self):
        made = []
        try:
            with self.assertRaises(modal.exception.ResourceExhaustedError) as refused:
                for _ in range(41):
                    made.append(create("sleep", "1000"))
            self.assertIn("max_boxes", str(refused.exception))
            self.assertGreaterEqual(len(made), 10)
        finally:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda one: one.terminate(), made))


class Exec(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        cls.sandbox = create("sleep", "100000", timeout=3000)

    @classmethod
    def tearDownClass(cls):
        cls.sandbox.terminate()

    def test_streams_and_exit_code(self):
        process = self.sandbox.exec("sh", "-c", "echo out; echo err >&2; exit 3")
        self.assertEqual(process.stdout.read(), "out\n")
        self.assertEqual(process.stderr.read(), "err\n")
        self.assertEqual(process.wait(), 3)
        self.assertEqual(process.returncode, 3)
        killed = self.sandbox.exec("sh", "-c", "kill -TERM $$")
        self.assertEqual(killed.wait(), 128 + 15)

    def test_bytes_and_lines(self):
        raw = self.sandbox.exec("printf", r"\377\000x", text=False)
        self.assertEqual(raw.stdout.read(), b"\xff\x00x")
        lines = self.sandbox.exec("printf", r"a\nb\nc", bufsize=1)
        self.assertEqual(list(lines.stdout), ["a\n", "b\n", "c"])

    def test_input(self):
        process = self.sandbox.exec("sh", "-c", "read a; echo got $a; cat")
        process.stdin.write("one\n")
        process.stdin.drain()
        process.stdin.write("rest")
        process.stdin.write_eof()
        process.stdin.drain()
        self.assertEqual(process.stdout.read(), "got one\nrest")
        self.assertEqual(process.wait(), 0)

    def test_folder_variables_and_secrets(self):
        process = self.sandbox.exec(
            "sh", "-c", "echo $PWD $A $B", workdir="/tmp", env={"A": "1"},
            secrets=[modal.Secret.from_dict({"B": "2"})],
        )  # fmt: skip
        self.assertEqual(process.stdout.read(), "/tmp 1 2\n")

    def test_a_time_limit_kills_it_and_its_children(self):
        mark = f"4{os.getpid()}.5"
        process = self.sandbox.exec("sh", "-c", f"sleep {mark} & sleep {mark}", timeout=1)
        self.assertEqual(process.wait(), -1)
        wait_until(lambda: not processes_named(mark), CALL_TIMEOUT, "they are killed")

    def test_poll_tells_the_end(self):
        process = self.sandbox.exec("cat")
        self.assertIsNone(process.poll())
        process.stdin.write_eof()
        process.stdin.drain()
        wait_until(lambda: process.poll() == 0, CALL_TIMEOUT, "it has ended")

    def test_a_terminal(self):
        process = self.sandbox.exec(
            "sh", "-c", "test -t 0 && test -t 1 && tty && stty size; echo err >&2", pty=True
        )
        text = process.stdout.read()
        self.assertIn("/dev/pts/", text)
        self.assertIn("err\r\n", text)
        self.assertEqual(process.wait(), 0)
        typed = self.sandbox.exec("sh", "-c", "read line; echo got $line", pty=True)
        typed.stdin.write("words\n")
        typed.stdin.drain()
        self.assertIn("got words", typed.stdout.read())

    def test_many_at_once(self):
        def one(number):
            process = self.sandbox.exec("sh", "-c", f"sleep 0.2; echo {number}; exit {number}")
            return process.stdout.read(), process.wait()

        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            answers = list(pool.map(one, range(60)))
        self.assertEqual(answers, [(f"{n}\n", n) for n in range(60)])

    def test_large_output_comes_whole_and_waits_for_its_reader(self):
        size = 48 << 20
        process = self.sandbox.exec("head", "-c", str(size), "/dev/zero", text=False)
        time.sleep(1)  # it has filled what is kept for it, and waits
        self.assertIsNone(process.poll())
        self.assertEqual(len(process.stdout.read()), size)
        self.assertEqual(process.wait(), 0)

    def test_large_input_comes_whole(self):
        process = self.sandbox.exec("sha256sum")
        piece = b"0123456789abcdef" * (1 << 16)
        digest = hashlib.sha256()
        for _ in range(20):
            process.stdin.write(piece)
            process.stdin.drain()
            digest.update(piece)
        process.stdin.write_eof()
        process.stdin.drain()
        self.assertEqual(process.stdout.read().split()[0], digest.hexdigest())

    def test_what_it_leaves_in_the_background_goes_on(self):
        process = self.sandbox.exec("sh", "-c", "(sleep 1; echo late > /tmp/late) & echo first")
        self.assertEqual(process.stdout.read(), "first\n")
        self.assertEqual(process.wait(), 0)
        look = "until test -s /tmp/late; do sleep 0.1; done; cat /tmp/late"
        self.assertEqual(self.sandbox.exec("sh", "-c", look).stdout.read(), "late\n")

    def test_a_program_that_is_not_there_is_an_error_that_names_it(self):
        with self.assertRaises(modal.exception.InvalidError) as refused:
            self.sandbox.exec("no-such-program")
        self.assertIn("no-such-program", str(refused.exception))

    def test_files_of_one_process_are_there_for_the_next(self):
        self.assertEqual(self.sandbox.exec("sh", "-c", "echo kept > /root/file").wait(), 0)
        self.assertEqual(self.sandbox.exec("cat", "/root/file").stdout.read(), "kept\n")

    def test_another_handle_of_it_starts_processes_too(self):
        same = modal.Sandbox.from_id(self.sandbox.object_id)
        self.assertEqual(same.exec("echo", "same").stdout.read(), "same\n")

    def test_processes_end_with_their_sandbox(self):
        sandbox = create("sleep", "1000")
        process = sandbox.exec("sleep", "1000")
        sandbox.terminate(wait=True)
        with self.assertRaises((modal.exception.NotFoundError, modal.exception.ConflictError)):
            sandbox.exec("true")
        try:
            self.assertEqual(process.wait(), 137)
        except modal.exception.NotFoundError:
            pass

    def test_how_long_until_the_first_process_has_answered(self):
        times = []
        for _ in range(20):
            began = time.monotonic()
            sandbox = create("sleep", "1000")
            self.assertEqual(sandbox.exec("echo", "hello").stdout.read(), "hello\n")
            times.append(time.monotonic() - began)
            sandbox.terminate()
        times.sort()
        print(
            f"create to first output of a process, 20 times: median {times[10] * 1e3:.0f} ms, "
            f"fastest {times[0] * 1e3:.0f} ms, slowest {times[-1] * 1e3:.0f} ms"
        )


class Files(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        cls.sandbox = create("sleep", "100000", timeout=3000)

    @classmethod
    def tearDownClass(cls):
        cls.sandbox.terminate()

    def test_files_are_written_read_listed_and_removed(self):
        files = self.sandbox.filesystem
        files.write_text("words", "/made/for/it/file.txt")
        self.assertEqual(files.read_text("/made/for/it/file.txt"), "words")
        files.write_bytes(bytes(range(256)), "/made/for/it/raw")
        self.assertEqual(files.read_bytes("/made/for/it/raw"), bytes(range(256)))
        files.make_directory("/made/for/it/folder")
        listed = {one.name: one for one in files.list_files("/made/for/it")}
        self.assertEqual(sorted(listed), ["file.txt", "folder", "raw"])
        self.assertTrue(listed["folder"].is_dir())
        self.assertEqual(listed["file.txt"].size, 5)
        self.assertEqual(files.stat("/made/for/it/file.txt").owner, "root")
        files.remove("/made/for/it/raw")
        with self.assertRaises(modal.exception.SandboxFilesystemNotFoundError):
            files.read_bytes("/made/for/it/raw")
        with self.assertRaises(modal.exception.SandboxFilesystemDirectoryNotEmptyError):
            files.remove("/made")
        files.remove("/made", recursive=True)
        with self.assertRaises(modal.exception.SandboxFilesystemNotFoundError):
            files.list_files("/made")

    def test_what_cannot_be_done_says_what_it_is(self):
        files = self.sandbox.filesystem
        wrong = modal.exception
        with self.assertRaises(wrong.SandboxFilesystemIsADirectoryError):
            files.read_text("/etc")
        with self.assertRaises(wrong.SandboxFilesystemIsADirectoryError):
            files.write_text("x", "/etc")
        with self.assertRaises(wrong.SandboxFilesystemNotADirectoryError):
            files.write_text("x", "/etc/passwd/below")
        with self.assertRaises(wrong.SandboxFilesystemNotADirectoryError):
            files.list_files("/etc/passwd")
        with self.assertRaises(wrong.SandboxFilesystemPathAlreadyExistsError):
            files.make_directory("/etc", create_parents=False)

    def test_large_files_go_both_ways(self):
        with tempfile.TemporaryDirectory() as folder:
            here, back = f"{folder}/here", f"{folder}/back"
            with open(here, "wb") as file:
                file.write(os.urandom(40 << 20))
            self.sandbox.filesystem.copy_from_local(here, "/large")
            self.sandbox.filesystem.copy_to_local("/large", back)
            with open(here, "rb") as one, open(back, "rb") as other:
                self.assertEqual(
                    hashlib.sha256(one.read()).digest(), hashlib.sha256(other.read()).digest()
                )

    def test_changes_can_be_watched(self):
        self.sandbox.exec("mkdir", "-p", "/watched").wait()
        change = "sleep 0.5; while sleep 0.2; do date > /watched/new; done"
        self.sandbox.exec("sh", "-c", change, timeout=60)
        for event in self.sandbox.filesystem.watch("/watched", timeout=50):
            if "/watched/new" in event.paths:
                break
        else:
            self.fail("nothing was seen")

    def test_its_files_become_an_image(self):
        sandbox = create("sleep", "1000")
        prepare = "echo kept > /kept; ln -s /kept /link; rm /etc/issue; chown 1000 /kept"
        self.assertEqual(sandbox.exec("sh", "-c", prepare).wait(), 0)
        image = sandbox.snapshot_filesystem()
        sandbox.exec("sh", "-c", "echo later > /kept").wait()  # it goes on
        sandbox.terminate()
        look = "cat /link; stat -c %u /kept; test -e /etc/issue || echo removed; python -V"
        other = create("sh", "-c", look, image=image)
        self.assertEqual(
            other.stdout.read().splitlines()[:3], ["kept", "1000", "removed"], other.stderr.read()
        )
        again = create("sh", "-c", "cat /kept", image=modal.Image.from_id(image.object_id))
        self.assertEqual(again.stdout.read(), "kept\n")


class Restarts(E2eTest):
    """Where sandboxes do not outlive the server; where they do: sandbox_restart_test.py."""

    def setUp(self):
        config = "[containers]\nboxes_outlive_server = false\n"
        self.server = ThawServer(config=config).start()
        self.addCleanup(self.server.close)

    def run_client(self, text):
        done = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, timeout=BUILD_TIMEOUT,
            env={**os.environ, **self.server.client_environment()},
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_the_end_of_its_server_is_its_end_and_is_told(self):
        made = self.run_client(
            "import modal\n"
            "app = modal.App.lookup('boxes', create_if_missing=True)\n"
            "one = modal.Sandbox.create('sleep', '1000', app=app, name='held', tags={'a': 'b'})\n"
            "assert one.exec('echo', 'x').stdout.read() == 'x\\n'\n"
            "print(one.object_id)"
        )
        self.server.kill()
        self.server.start()
        told = self.run_client(
            "import modal\n"
            f"one = modal.Sandbox.from_id('{made}')\n"
            "one.wait(raise_on_termination=False)\n"
            "print(one.returncode, one.get_tags())\n"
            "app = modal.App.lookup('boxes')\n"
            "again = modal.Sandbox.create('echo', 'back', app=app, name='held')\n"
            "print(again.stdout.read())"
        )
        self.assertEqual(told.splitlines(), ["137 {'a': 'b'}", "back"])
        reply = self.server.rpc("SandboxWaitV2", pb.SandboxWaitRequest(sandbox_id=made))
        self.assertEqual(reply.result.status, pb.GenericResult.GENERIC_STATUS_INTERNAL_FAILURE)
        self.assertIn("server", reply.result.exception)


class OlderClients(E2eTest):
    """The calls of the first generation, by this client and by older ones."""

    server = server

    TEXT = (
        "import modal\n"
        f"app = modal.App.lookup('{APP}', create_if_missing=True)\n"
        "one = modal.Sandbox.create('cat', app=app, timeout=300)\n"
        "one.stdin.write('words\\n')\n"
        "one.stdin.drain()\n"
        "assert one.poll() is None\n"
        "process = one.exec('sh', '-c', 'echo from exec; exit 5')\n"
        "assert process.stdout.read() == 'from exec\\n'\n"
        "assert process.wait() == 5\n"
        "one.stdin.write_eof()\n"
        "one.stdin.drain()\n"
        "assert one.stdout.read() == 'words\\n'\n"
        "one.wait()\n"
        "print(one.object_id, one.returncode)"
    )

    def check(self, python, **env):
        done = subprocess.run(
            [python, "-c", self.TEXT], capture_output=True, text=True, timeout=BUILD_TIMEOUT,
            env={**os.environ, **server.client_environment(), **env},
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        id, code = done.stdout.split()
        self.assertEqual(code, "0")
        self.assertEqual(len(id), 25)

    def test_this_client_asked_for_the_first_generation(self):
        self.check(sys.executable, MODAL_SANDBOX_V2="0")

    def test_older_clients(self):
        for version in ("1.2", "1.0"):
            with self.subTest(version):
                command = [str(ROOT / "tools" / "client"), f"tests/clients/modal-{version}.txt"]
                found = subprocess.run(command, cwd=ROOT, check=True, stdout=-1, text=True)
                folder = found.stdout.strip().splitlines()[-1]
                self.check(os.path.join(folder, "python"))


# Says back the headers that it gets, as JSON, and where it was asked.
MIRROR = """
import http.server, json, sys
class Mirror(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Mirror).serve_forever()
"""


def mirror(port, **options):
    sandbox = create("python", "-c", MIRROR, str(port), **options)
    probe = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])))"
    wait_until(
        lambda: sandbox.exec("python", "-c", probe, str(port)).wait() == 0, CALL_TIMEOUT,
        "its server listens",
    )  # fmt: skip
    return sandbox


def ask(url, **headers):
    """Status, headers and what the mirror says, or the body's text; 0: nobody is there."""
    head = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=head), timeout=60) as got:
            return got.status, got.headers, json.loads(got.read())
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read().decode()
    except OSError:
        return 0, {}, ""


class Ports(E2eTest):
    server = server

    def tunnels_for(self, sandbox, **metadata):
        request = pb.SandboxGetTunnelsRequest(sandbox_id=sandbox.object_id, timeout=10)
        head = {name.replace("_", "-"): value for name, value in metadata.items()}
        reply = server.rpc("SandboxGetTunnels", request, metadata=head)
        return {tunnel.container_port: tunnel for tunnel in reply.tunnels}

    def test_a_port_is_reached_from_outside_and_ends_with_its_sandbox(self):
        sandbox = mirror(8000, unencrypted_ports=[8000], encrypted_ports=[8001])
        tunnels = sandbox.tunnels()
        self.assertEqual(sorted(tunnels), [8000, 8001])
        host, port = tunnels[8000].tcp_socket
        status, _, said = ask(f"http://{host}:{port}/a?b=c")
        self.assertEqual((status, said["path"]), (200, "/a?b=c"))
        # Others find the same, while it lives.
        again = modal.Sandbox.from_id(sandbox.object_id)
        self.assertEqual(again.tunnels()[8000].tcp_socket, (host, port))
        sandbox.terminate(wait=True)
        wait_until(lambda: ask(f"http://{host}:{port}/")[0] == 0, CALL_TIMEOUT, "nobody is there")
        self.assertEqual(modal.Sandbox.from_id(sandbox.object_id).tunnels(), {})

    def test_clients_of_each_generation_find_them(self):
        text = (
            "import modal\n"
            f"app = modal.App.lookup('{APP}', create_if_missing=True)\n"
            "one = modal.Sandbox.create('sleep', '100', app=app, timeout=100,\n"
            "                           unencrypted_ports=[5], h2_ports=[6])\n"
            "assert sorted(one.tunnels()) == [5, 6]\n"
            "assert one.tunnels()[5].tcp_socket[1] > 0\n"
            "one.terminate()\n"
        )
        for second in "10":
            with self.subTest(second_generation=second):
                done = subprocess.run(
                    [sys.executable, "-c", text], capture_output=True, text=True,
                    timeout=BUILD_TIMEOUT,
                    env={**os.environ, **server.client_environment(), "MODAL_SANDBOX_V2": second},
                )  # fmt: skip
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_without_https_an_encrypted_port_is_a_port_of_the_machine(self):
        sandbox = mirror(8000, encrypted_ports=[8000])
        self.addCleanup(sandbox.terminate)
        tunnel = sandbox.tunnels()[8000]
        self.assertEqual(tunnel.tls_socket, tunnel.tcp_socket)
        self.assertEqual(ask("http://%s:%s/" % tunnel.tcp_socket)[0], 200)

    def test_where_clients_come_by_https_an_encrypted_port_has_a_host_of_its_own(self):
        request = pb.SandboxCreateRequest(
            app_id=app.app_id,
            definition=pb.Sandbox(
                entrypoint_args=["python", "-c", MIRROR, "8000"], timeout_secs=300,
                image_id=mirror_image(),
                open_ports=pb.PortSpecs(ports=[pb.PortSpec(port=8000)]),
            ),
        )  # fmt: skip
        by_https = {"x-forwarded-proto": "https", "x-forwarded-host": "thaw.test"}
        made = server.rpc("SandboxCreate", request, metadata=by_https)
        sandbox = modal.Sandbox.from_id(made.sandbox_id)
        self.addCleanup(sandbox.terminate)
        tunnel = self.tunnels_for(sandbox, **by_https)[8000]
        self.assertRegex(tunnel.host, r"^box-[0-9a-f]{40}\.boxes\.test$")
        self.assertEqual((tunnel.port, tunnel.HasField("unencrypted_host")), (443, False))
        here = f"http://{server.address}/a"
        wait_until(lambda: ask(here, host=tunnel.host)[0] == 200, CALL_TIMEOUT, "it answers")
        _, _, said = ask(here, host=tunnel.host, x_forwarded_proto="https")
        self.assertEqual((said["path"], said["x-forwarded-proto"]), ("/a", "https"))
        other = "box-" + "0" * 40 + ".boxes.test"
        self.assertEqual(ask(here, host=other)[0], 404)
        sandbox.terminate(wait=True)
        self.assertEqual(ask(here, host=tunnel.host)[0], 404)

    def test_a_list_says_who_reaches_them(self):
        closed = mirror(8000, unencrypted_ports=[8000], inbound_cidr_allowlist=["10.99.0.0/16"])
        opened = mirror(
            8000, unencrypted_ports=[8000], inbound_cidr_allowlist=["127.0.0.0/8", "fd00::/8"]
        )
        for sandbox, status in ((closed, 0), (opened, 200)):
            self.addCleanup(sandbox.terminate)
            host, port = sandbox.tunnels()[8000].tcp_socket
            self.assertEqual(ask(f"http://{host}:{port}/")[0], status)
        token = closed.create_connect_token(port=8000)
        place = f"http://{server.address}/"
        head = {"host": token.url.removeprefix("http://"), "authorization": f"Bearer {token.token}"}
        status, _, said = ask(place, **head)
        self.assertEqual(status, 403)
        self.assertIn("not reached from 127.0.0.1", said)
        # Whom a proxy speaks for is who comes.
        self.assertEqual(ask(place, **head, x_forwarded_for="10.99.1.2")[0], 200)

    def test_what_cannot_be_a_port_is_refused(self):
        def made(*ports, **more):
            specs = [pb.PortSpec(port=port, unencrypted=True) for port in ports]
            definition = pb.Sandbox(
                image_id=mirror_image(), timeout_secs=60, entrypoint_args=["true"],
                open_ports=pb.PortSpecs(ports=specs), **more,
            )  # fmt: skip
            request = pb.SandboxCreateRequest(app_id=app.app_id, definition=definition)
            with self.assertRaises(grpclib.GRPCError) as refused:
                server.rpc("SandboxCreate", request)
            return refused.exception.message

        self.assertIn("0 is no port", made(0))
        self.assertIn("65536 is no port", made(65536))
        self.assertIn("asked for twice", made(80, 80))
        self.assertIn("at most 8 open ports", made(*range(1, 1000)))
        self.assertIn("block_network", made(80, block_network=True))
        self.assertIn("'here' in inbound", made(80, inbound_cidr_allowlist=["here"]))

    def test_a_workspace_has_a_share_of_the_machines_ports_and_gets_it_back(self):
        ports = list(range(1, 9))

        def one():
            try:
                return create("sleep", "300", unencrypted_ports=ports)
            except modal.exception.Error:
                return None  # those of tests before this one are not all closed yet

        made = [wait_until(one, CALL_TIMEOUT, "room for its ports") for _ in range(8)]
        with self.assertRaisesRegex(Exception, "a workspace 64"):
            create("sleep", "300", unencrypted_ports=[1])
        made.pop().terminate(wait=True)

        def again():
            try:
                made.append(create("sleep", "300", unencrypted_ports=[1]))
                return True
            except modal.exception.Error:
                return False

        wait_until(again, CALL_TIMEOUT, "its ports are given back")
        for sandbox in made:
            sandbox.terminate(wait=True)


class ConnectTokens(E2eTest):
    server = server

    def ask(self, token, path="/", shown=None, **headers):
        if shown is not None:
            headers["authorization"] = f"Bearer {shown}"
        host = token.url.removeprefix("http://")
        return ask(f"http://{server.address}{path}", host=host, **headers)

    def test_a_token_opens_a_port_and_says_whose_it_is(self):
        sandbox = mirror(8080)
        self.addCleanup(sandbox.terminate)
        token = sandbox.create_connect_token(user_metadata={"user": "ä"})
        status, _, said = self.ask(
            token, "/a?b=c", token.token, cookie="c=d",
            X_Verified_User_Data="forged", x_verified_user_data="forged",
        )  # fmt: skip
        self.assertEqual(status, 200)
        self.assertEqual(said["path"], "/a?b=c")
        self.assertEqual(said["x-verified-user-data"], '{"user": "\\u00e4"}')
        self.assertEqual(said["cookie"], "c=d")
        self.assertNotIn("authorization", said)

    def test_a_page_gets_it_by_its_address_and_then_has_it(self):
        sandbox = mirror(8080)
        self.addCleanup(sandbox.terminate)
        token = sandbox.create_connect_token("me")
        path = f"/page?a=b&_modal_connect_token={token.token}&c=d"
        status, headers, said = self.ask(token, path, cookie="own=1")
        self.assertEqual((status, said["path"]), (200, "/page?a=b&c=d"))
        cookie = headers["set-cookie"].split(";")[0]
        status, _, said = self.ask(token, "/next", cookie=f"own=1; {cookie}")
        self.assertEqual((status, said["path"], said["cookie"]), (200, "/next", "own=1"))
        self.assertEqual(said["x-verified-user-data"], "me")
        # Without a host of its own it is below a path.
        label = token.url.removeprefix("http://").split(".")[0]
        place = f"http://{server.address}/web/{label}"
        status, _, said = ask(f"{place}/next?x=y", authorization=f"Bearer {token.token}")
        self.assertEqual((status, said["path"]), (200, "/next?x=y"))

    def test_no_other_token_does(self):
        sandbox, other = mirror(8080), create("sleep", "300")
        self.addCleanup(sandbox.terminate)
        self.addCleanup(other.terminate)
        token = sandbox.create_connect_token()
        words, signature = token.token.split(".")
        others = other.create_connect_token().token
        for shown in (
            None, "", "x", others, words, f"{words}.", f"{words}.{signature[:-1]}",
            f"{words[:-2]}.{signature}", "." * 1000,
            server.client_environment()["MODAL_TOKEN_SECRET"],
        ):  # fmt: skip
            self.assertEqual(self.ask(token, shown=shown)[0], 401, shown)
        with self.assertRaisesRegex(Exception, "2048 bytes"):
            sandbox.create_connect_token("x" * 2049)
        with self.assertRaisesRegex(Exception, "control characters"):
            sandbox.create_connect_token("a\r\nb")
        sandbox.terminate(wait=True)
        self.assertEqual(self.ask(token, shown=token.token)[0], 404)
        with self.assertRaisesRegex(Exception, "has ended"):
            sandbox.create_connect_token()

    def test_who_has_no_network_has_no_token(self):
        sandbox = create("sleep", "300", block_network=True)
        self.addCleanup(sandbox.terminate)
        with self.assertRaisesRegex(Exception, "has no network"):
            sandbox.create_connect_token()


# What a program sees of a place: "ok", or what went wrong.
REACH = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
kind = socket.SOCK_DGRAM if sys.argv[1] == "udp" else socket.SOCK_STREAM
with socket.socket(family, kind) as peer:
    peer.settimeout(10)
    try:
        peer.connect((sys.argv[2], int(sys.argv[3])))
        if sys.argv[1] == "udp":
            peer.send(b"x")
        print("ok")
    except OSError as error:
        print(type(error).__name__, error.errno)
"""


class Networks(E2eTest):
    """Lists of networks that a sandbox reaches, against a host of ours that is not this machine."""

    server = server
    PLACE = "198.18.77.2"
    SPACE = f"thaw-e2e-{os.getpid()}"

    @classmethod
    def setUpClass(cls):
        def ip(*words):
            subprocess.run(["ip", *words], check=True, capture_output=True)

        link = f"te{os.getpid()}"
        ip("netns", "add", cls.SPACE)
        cls.addClassCleanup(ip, "netns", "del", cls.SPACE)
        ip("link", "add", link, "type", "veth", "peer", "name", "there", "netns", cls.SPACE)
        ip("addr", "add", "198.18.77.1/24", "dev", link)
        ip("link", "set", link, "up")
        inside = ("-n", cls.SPACE)
        ip(*inside, "addr", "add", f"{cls.PLACE}/24", "dev", "there")
        ip(*inside, "link", "set", "there", "up")
        ip(*inside, "route", "add", "default", "via", "198.18.77.1")
        listen = (
            "import socket\n"
            "listener = socket.create_server(('', 80))\n"
            "print('listening', flush=True)\n"
            "while True: listener.accept()[0].close()\n"
        )
        command = ["ip", "netns", "exec", cls.SPACE, sys.executable, "-c", listen]
        listener = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        cls.addClassCleanup(listener.communicate)
        cls.addClassCleanup(listener.kill)
        assert listener.stdout.readline() == "listening\n"

    def reach(self, sandbox, protocol="tcp", place=PLACE, port=80):
        process = sandbox.exec("python", "-c", REACH, protocol, place, str(port))
        return process.stdout.read().strip()

    def made(self, **options):
        sandbox = create("sleep", "300", **options)
        self.addCleanup(sandbox.terminate)
        return sandbox

    def test_a_sandbox_reaches_its_list_and_nothing_else(self):
        for networks in (None, ["198.18.77.0/24"], ["10.0.0.0/8", "198.18.0.0/15", "198.18.77.2"],
                         ["0.0.0.0/0"], ["0.0.0.0/0", "198.18.0.0/15", "::/0"]):  # fmt: skip
            with self.subTest(networks):
                self.assertEqual(self.reach(self.made(outbound_cidr_allowlist=networks)), "ok")
        for networks in ([], ["10.0.0.0/8"], ["198.18.77.3/32"], ["fd00::/8", "::/0"]):
            with self.subTest(networks):
                sandbox = self.made(outbound_cidr_allowlist=networks)
                self.assertRegex(self.reach(sandbox), "^OSError|^PermissionError|^Connection")
                # At once, by whatever protocol, names included; itself is not elsewhere.
                self.assertNotEqual(self.reach(sandbox, "udp", port=53), "ok")
                self.assertNotEqual(self.reach(sandbox, place="fd00::1"), "ok")
                self.assertNotIn("Timeout", self.reach(sandbox))
                listen = "import socket; socket.create_server(('', 5)).accept(); print('came')"
                server_inside = sandbox.exec("python", "-c", listen)
                wait_until(
                    lambda: self.reach(sandbox, place="127.0.0.1", port=5) == "ok", CALL_TIMEOUT,
                    "it reaches itself",
                )  # fmt: skip
                self.assertEqual(server_inside.stdout.read(), "came\n")

    def test_without_a_network_nothing_is_reached(self):
        sandbox = self.made(block_network=True)
        self.assertNotEqual(self.reach(sandbox), "ok")
        self.assertNotEqual(self.reach(sandbox, place="fd00::1"), "ok")
        self.assertNotEqual(self.reach(sandbox, "udp", port=53), "ok")

    def test_nothing_inside_can_go_around_its_list(self):
        sandbox = self.made(outbound_cidr_allowlist=[])
        around = (
            "import ctypes, socket\n"
            "for family, kind in ((socket.AF_PACKET, socket.SOCK_RAW),\n"
            "                     (socket.AF_INET, socket.SOCK_RAW)):\n"
            "    try: socket.socket(family, kind, 255); print('open')\n"
            "    except OSError as error: print(error.errno)\n"
            "print(ctypes.CDLL(None).unshare(0x40000000))\n"
        )
        said = sandbox.exec("python", "-c", around).stdout.read().split()
        self.assertNotIn("open", said)
        self.assertNotEqual(self.reach(sandbox), "ok")

    def test_its_ports_are_reached_whatever_it_reaches(self):
        sandbox = mirror(8000, unencrypted_ports=[8000], outbound_cidr_allowlist=[])
        self.addCleanup(sandbox.terminate)
        self.assertEqual(ask("http://%s:%s/" % sandbox.tunnels()[8000].tcp_socket)[0], 200)

    def test_lists_have_a_limit_and_what_is_no_network_is_named(self):
        many = [f"100.64.{n // 256}.{n % 256}/32" for n in range(999)]
        sandbox = self.made(outbound_cidr_allowlist=[*many, "198.18.77.0/24"])
        self.assertEqual(self.reach(sandbox), "ok")
        for networks, said in (
            (["10.0.0.0/8"] * 1001, "at most 1000"), (["10.0.0.0/33"], "10.0.0.0/33"),
            (["10.0.0.0/8", "example.com"], "example.com"), ([""], "no network"),
            (["1.2.3.4; flush ruleset"], "flush"), (["10.0.0.0/8\n"], "no network"),
        ):  # fmt: skip
            with self.subTest(networks[-1]), self.assertRaisesRegex(Exception, said):
                create("true", outbound_cidr_allowlist=networks)
        with self.assertRaisesRegex(Exception, "outbound_domain_allowlist"):
            create("true", outbound_domain_allowlist=["example.com"])


class Tokens(E2eTest):
    server = server

    def ask(self, jwt, task_id):
        import asyncio

        from modal_proto import task_command_router_grpc, task_command_router_pb2 as tr

        async def ask():
            host, port = server.address.split(":")
            async with grpclib.client.Channel(host, int(port)) as channel:
                stub = task_command_router_grpc.TaskCommandRouterStub(channel)
                request = tr.TaskExecPollRequest(task_id=task_id, exec_id="none")
                head = {"authorization": f"Bearer {jwt}"} if jwt is not None else {}
                return await stub.TaskExecPoll(request, metadata=head, timeout=CALL_TIMEOUT)

        with self.assertRaises(grpclib.GRPCError) as refused:
            asyncio.run(ask())
        return refused.exception.status.name

    def access(self, sandbox):
        request = pb.SandboxGetCommandRouterAccessRequest(sandbox_id=sandbox.object_id)
        return server.rpc("SandboxGetCommandRouterAccess", request).jwt

    def test_a_token_opens_its_own_sandbox_and_no_other(self):
        mine, other = create("sleep", "1000"), create("sleep", "1000")
        self.addCleanup(mine.terminate)
        self.addCleanup(other.terminate)
        jwt = self.access(mine)
        tasks = [
            server.rpc("SandboxGetTaskIdV2", pb.SandboxGetTaskIdRequest(sandbox_id=i)).task_id
            for i in (mine.object_id, other.object_id)
        ]
        self.assertEqual(self.ask(jwt, tasks[0]), "NOT_FOUND")  # let in: there is no such process
        self.assertEqual(self.ask(jwt, tasks[1]), "NOT_FOUND")
        head, payload, signature = jwt.split(".")
        forged = [
            None, "x", "a.b.c", f"{head}.{payload}.", f"{head}.{payload}.{signature[:-1]}",
            f"{head}.{payload[:-2]}.{signature}", f"{head}.{payload}.{signature}.x", "." * 1000,
        ]  # fmt: skip
        for one in forged:
            self.assertEqual(self.ask(one, tasks[0]), "UNAUTHENTICATED", one)


if __name__ == "__main__":
    main()
