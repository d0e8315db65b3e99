# SPDX-License-Identifier: Apache-2.0
"""What every end-to-end test needs: a running `thaw serve` and the real, unmodified client.

Importing this module makes sure that the interpreter has the `modal` package: if it has not, the
test starts again inside the environment that `tools/client` keeps. A test file then says

    server = ThawServer.for_module()        # one server, one data folder per test file

and calls `server.modal("run", ...)` for the command line, or `import modal` after `server.use()`
for the API. The binary is $THAW_BIN, or build/release/thaw of this checkout. Images are kept
between tests in $THAW_IMAGE_CACHE, so that only the first test of a machine builds them.
"""

import asyncio
import atexit
import collections
import hashlib
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import preloaded_client

ROOT = pathlib.Path(__file__).resolve().parents[2]
APPS = pathlib.Path(__file__).resolve().parent / "apps"
THAW_BIN = pathlib.Path(os.environ.get("THAW_BIN", ROOT / "build" / "release" / "thaw")).resolve()
READY = re.compile(
    r"^thaw ready on (?P<scheme>https?)://(?P<address>\S+:(?P<port>\d+)) data=(?P<data>.+)$"
)
PRELOADED = preloaded_client.PreloadedClient()
NO_SETTINGS = f"{tempfile.gettempdir()}/thaw-e2e-{os.getpid()}-no-such-modal.toml"
SKIPPED = 77  # what ctest takes for "skipped"

# The first image of a machine takes minutes; nothing else does.
BUILD_TIMEOUT = 1500
CALL_TIMEOUT = 120

Container = collections.namedtuple("Container", "pid task_id")


def _enter_client_environment():
    """Runs this test again with the Python that has the pinned client, unless this one has it."""
    try:
        import modal  # noqa: F401
    except ImportError:
        if os.environ.get("THAW_E2E_ENTERED"):
            raise
        command = [str(ROOT / "tools" / "client"), "tests/clients/modal.txt"]
        found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        python = os.path.join(found.stdout.strip().splitlines()[-1], "python")
        os.environ["THAW_E2E_ENTERED"] = "1"
        os.execv(python, [python, *sys.argv])


def _forget_client_settings():
    """Settings of whoever runs the tests must not reach the client under test."""
    for name in list(os.environ):
        if name.startswith("MODAL_"):
            del os.environ[name]
    os.environ["MODAL_CONFIG_PATH"] = NO_SETTINGS


def skip_all(reason):
    print(f"SKIPPED {os.path.basename(sys.argv[0])}: {reason}", flush=True)
    sys.exit(SKIPPED)


if __name__ != "__main__":
    if not THAW_BIN.exists():
        skip_all(f"there is no {THAW_BIN}; run make build, or set THAW_BIN")
    if os.geteuid() != 0:
        skip_all("containers need root; run the tests as root")
    _forget_client_settings()
    _enter_client_environment()
    PRELOADED.fork_here()
    os.environ.setdefault("THAW_IMAGE_CACHE", "/var/cache/thaw")
    # A shell's background job ignores SIGINT, and so would the server and the clients started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["COLUMNS"] = "240"  # the client wraps long lines at 80 columns otherwise


def wait_until(condition, timeout, what, pause=0.1):
    """Polls a fact that nothing announces, such as what the kernel shows."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s still not: {what}")
        time.sleep(pause)


def parent_of(pid):
    # Asked of every process of the machine, many times a second: hence by hand.
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(400)
    except OSError:
        return 0
    return int(text[text.rindex(b")") + 4 :].split(b" ", 1)[0])


def command_of(pid):
    """Its words; none once it has ended."""
    try:
        text = pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return []
    return text.split("\0")[:-1]


def ancestors_of(pid):
    """What stands above a process, the nearest first, as the kernel shows it."""
    found = []
    while (pid := parent_of(pid)) > 0:
        found.append(pid)
    return found


def task_of(pid):
    """The container of a process, by what it was started with; None for others."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            text = b"\0" + file.read()
    except OSError:
        return None
    _, found, rest = text.partition(b"\0MODAL_TASK_ID=")
    return rest.partition(b"\0")[0].decode() if found else None


def environment_of(pid):
    try:
        raw = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    items = raw.decode(errors="replace").split("\0")
    return dict(item.split("=", 1) for item in items if "=" in item)


def descendants_of(ancestor):
    """Process ids below `ancestor`, as the kernel shows them."""
    children = collections.defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            children[parent_of(entry)].append(int(entry))
    found = set()
    frontier = [ancestor]
    while frontier:
        frontier = [pid for parent in frontier for pid in children[parent] if pid not in found]
        found.update(frontier)
    return found


def with_own_ids_as_wanted(config):
    """What is tested with user ids of their own is tested without too: THAW_TEST_OWN_IDS=off."""
    wanted = os.environ.get("THAW_TEST_OWN_IDS")
    if not wanted or "own_ids" in config:
        return config
    line = f'own_ids = "{wanted}"\n'
    head = "[containers]\n"
    return config.replace(head, head + line, 1) if head in config else config + "\n" + head + line


class ThawServer:
    """One `thaw serve`; `stop` ends it by SIGTERM, `interrupt` by SIGINT, `kill` by SIGKILL."""

    by_fork = True  # of one process for all commands of the client

    def __init__(self, data=None, listen="127.0.0.1:0", config=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-e2e-"))
        self.data = pathlib.Path(data) if data else self.folder / "data"
        self.listen = listen
        self.config = with_own_ids_as_wanted(config)
        self.log_path = self.folder / "server.log"
        self.process = None
        self._environment = None

    @classmethod
    def for_module(cls, **options):
        """A started server that ends with the test process, which sees it in its environment."""
        server = cls(**options).start().use()
        atexit.register(server.close)
        return server

    def command(self):
        command = [str(THAW_BIN), "serve", "--listen", self.listen, "--data", str(self.data)]
        if self.config:
            path = self.folder / "thaw.toml"
            path.write_text(self.config)
            command += ["--config", str(path)]
        return command

    def start(self, timeout=180):
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            self.command(), stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL
        )
        ready = threading.Event()
        self.port = None

        def read_output():
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                match = READY.match(line.decode(errors="replace").rstrip())
                if match:
                    self.address = match["address"]
                    self.url = f"{match['scheme']}://{self.address}"
                    self.port = int(match["port"])
                    ready.set()
            ready.set()

        threading.Thread(target=read_output, daemon=True).start()
        if not ready.wait(timeout) or self.port is None:
            self.kill()
            raise AssertionError(f"thaw serve gave no ready line\n{self.log_tail()}")
        self.listen = f"127.0.0.1:{self.port}"  # a restart keeps the address
        return self

    def use(self):
        """Makes `import modal` of this process talk to this server."""
        os.environ.update(self.client_environment())
        return self

    def thaw(self, *arguments, timeout=60):
        return subprocess.run(
            [str(THAW_BIN), *arguments], capture_output=True, text=True, timeout=timeout
        )

    def told(self, path):
        """What the server tells its administrator, without a process started for each question."""
        connection = http.client.HTTPConnection("thaw", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(self.data / "admin.sock"))
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise AssertionError(f"GET {path} was answered {answer.status}: {body}")
        return json.loads(body)

    def running(self):
        """As `thaw ps --json` shows it."""
        return self.told("/admin/ps")

    def starts(self):
        """As `thaw logs --starts --json` shows them: those that have ended, and those that run."""
        # First those that live: one that ends meanwhile is then among those that have ended.
        living, ended = self.told("/admin/ps"), self.told("/admin/starts")
        over = {view["container"] for view in ended}
        return ended + [view for view in living if view["container"] not in over]

    def client_environment(self):
        """What `eval "$(thaw env)"` would set, and a configuration file that does not exist."""
        if self._environment and self._environment[0] == self.process.pid:
            return dict(self._environment[1])
        answer = self.thaw("env", "--data", str(self.data))
        if answer.returncode != 0:
            raise AssertionError(f"thaw env failed: {answer.stderr}\n{self.log_tail()}")
        found = {"MODAL_CONFIG_PATH": NO_SETTINGS}
        for word in shlex.split(answer.stdout, comments=True):
            name, equals, value = word.partition("=")
            if equals:
                found[name] = value
        self._environment = (self.process.pid, dict(found))  # a server's does not change
        return found

    def rpc(self, name, request, metadata=None):
        """One call of the protocol as the client makes it, for what its API does not show."""
        import grpclib.client
        import modal_proto.api_grpc

        variables = self.client_environment()
        token = {
            "x-modal-token-id": variables["MODAL_TOKEN_ID"],
            "x-modal-token-secret": variables["MODAL_TOKEN_SECRET"],
            **(metadata or {}),
        }

        async def ask():
            host, port = self.address.split(":")
            async with grpclib.client.Channel(host, int(port)) as channel:
                method = getattr(modal_proto.api_grpc.ModalClientStub(channel), name)
                return await method(request, metadata=token, timeout=CALL_TIMEOUT)

        return asyncio.run(ask())

    def modal(self, *arguments, cwd=APPS, timeout=BUILD_TIMEOUT, env=None, check=True):
        """Runs the real command line; returns its completed process, with both outputs.

        Variables that are read while it is imported, and `by_fork` off, start an interpreter."""
        environment = {**os.environ, **self.client_environment(), **(env or {})}
        environment = {name: value for name, value in environment.items() if value is not None}
        command = [sys.executable, "-m", "modal", *map(str, arguments)]
        read_early = [name for name in env or {} if name.startswith(("MODAL_", "PYTHON"))]
        if self.by_fork and not set(read_early) - {"PYTHONPATH"}:
            done = PRELOADED.run(command[1:], cwd, environment, timeout)
        else:
            done = subprocess.run(
                command, cwd=cwd, env=environment, timeout=timeout, capture_output=True, text=True,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(
                f"{shlex.join(command)} ended with {done.returncode}\n--- stdout\n{done.stdout}"
                f"--- stderr\n{done.stderr}--- server\n{self.log_tail()}"
            )
        return done

    def containers(self):
        """The processes that run user code, seen from the kernel."""
        found = []
        for pid in sorted(descendants_of(self.process.pid)):
            task_id = task_of(pid)
            if task_id:
                found.append(Container(pid, task_id))
        return found

    def user_process(self, task_id):
        """Of one container the process that runs the client's entrypoint."""
        for container in self.containers():
            if container.task_id == task_id:
                command = pathlib.Path(f"/proc/{container.pid}/cmdline").read_bytes()
                if b"modal._container_entrypoint" in command and b"python" in command:
                    return container.pid
        return None

    def task_ids(self):
        return {container.task_id for container in self.containers()}

    def wait_for_zero(self, timeout):
        wait_until(lambda: not self.containers(), timeout, "no container is left")

    def stop(self, timeout=60):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"SIGTERM did not end thaw in {timeout} s\n{self.log_tail()}")
        return self.process.returncode

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def interrupt(self, timeout=60):
        """As Ctrl-C does: sandboxes end too."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout)
        return self.process.returncode

    def instance(self):
        return hashlib.sha256(str(self.data.resolve()).encode()).hexdigest()[:8]

    def keeper(self):
        """The process that keeps this folder's sandboxes, or would; None if there is none."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
            try:
                line.connect(f"/run/thaw/keepers/{self.instance()}")
            except OSError:
                return None
            credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(credentials[:4], sys.byteorder)

    def end_keeper(self, timeout=60):
        """Of a server that was killed: what it has left to the next one, which will not come."""
        keeper = self.keeper()
        if keeper:
            os.kill(keeper, signal.SIGTERM)
            wait_until(lambda: not self.keeper(), timeout, "the keeper has ended")

    def close(self):
        try:
            self.interrupt()
            self.end_keeper()
        except (AssertionError, subprocess.TimeoutExpired) as failure:
            self.kill()
            print(failure, self.log_tail(), file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log_tail(self, lines=60):
        try:
            text = self.log_path.read_text(errors="replace").splitlines()
        except OSError:
            return "(no server log)"
        return "\n".join(["--- server log", *text[-lines:]])


class E2eTest(unittest.TestCase):
    """Prints the server's log when a test fails; `server` is the module's."""

    maxDiff = None
    server = None

    def run(self, result=None):
        failed = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and len(result.failures) + len(result.errors) > failed and self.server:
            print(self.server.log_tail(), file=sys.stderr)
        return result


def deploy(server, app_file, **options):
    """Deploys one of apps/*.py and returns what the client printed."""
    return server.modal("deploy", APPS / app_file, **options).stdout


def main():
    unittest.main(verbosity=2)
