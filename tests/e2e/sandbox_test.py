#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sandboxes by the real client: their life, their streams, processes in them, and what is left."""
import concurrent.futures
import hashlib
import os
import subprocess
import sys
import tempfile
import time

from thaw_server import (
    BUILD_TIMEOUT, CALL_TIMEOUT, ROOT, E2eTest, ThawServer, descendants_of, main, wait_until,
)  # fmt: skip

CONFIG = """
[containers]
max_boxes = 40
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
