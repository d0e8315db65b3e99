# SPDX-License-Identifier: Apache-2.0
"""What the gRPC tests share: the pinned clients, the messages, and the echo server as a process.

A test file is run as `file_test.py SERVER [unittest arguments]` by the system's Python; importing
this module first runs it again inside the environment of tests/clients/grpc.txt.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

here = pathlib.Path(__file__).resolve().parent
root = here.parents[2]


def enter_client_environment():
    folder = subprocess.run([root / "tools/client", "tests/clients/grpc.txt"], check=True,
                            stdout=subprocess.PIPE, text=True).stdout.strip()
    if pathlib.Path(sys.prefix).resolve() != pathlib.Path(folder).parent.resolve():
        python = folder + "/python"
        os.execv(python, [python, *sys.argv])


enter_client_environment()

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: E402


def load_messages():
    # By descriptor, not by generated code: protoc and the client's protobuf differ in version.
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", "--include_imports", "--descriptor_set_out=" + out.name,
                        "-I", here, here / "echo.proto"], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName("thaw.testing." + name))
            for name in ("Ask", "Answer")]


Ask, Answer = load_messages()
SERVICE = "/thaw.testing.Echo/"
MIB = 1 << 20


class EchoServer:
    """One grpc_echo_server with a Unix socket whose identity is "box-1"."""

    def __init__(self, **limits):
        self.folder = tempfile.mkdtemp(prefix="thaw-net-")
        self.socket = self.folder + "/box.sock"
        arguments = ["--unix", self.socket + "=box-1"]
        for name, value in limits.items():
            arguments += ["--limit", "%s=%s" % (name, value)]
        self.log = pathlib.Path(self.folder, "log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.argv[1], *arguments], stdout=subprocess.PIPE,
                                            stderr=log, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise RuntimeError("the echo server has not started: %r" % line)
        self.port = int(line.split()[1])

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def join(self):
        code = self.process.wait(timeout=20)
        self.process.stdout.close()
        sys.stderr.write(self.log.read_text(errors="replace"))
        shutil.rmtree(self.folder)
        return code

    def stop(self):
        self.terminate()
        return self.join()

    def resident_bytes(self, key="VmRSS"):
        for line in pathlib.Path("/proc/%d/status" % self.process.pid).read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no " + key)


def eventually(condition, seconds=20):
    """Waits for what another process does; the deadline only ends a broken test."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it has not happened within %d s" % seconds)
        time.sleep(0.01)


def main():
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
