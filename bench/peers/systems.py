# SPDX-License-Identifier: Apache-2.0
"""The peers: how each is started and asked, and what its processes use.

A peer's processes carry a mark in their environment, so that all of them are found, counted and
ended, and nothing else is.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILT = ROOT / "build/peers"
MARK = "THAW_BENCH_PEER"
TEXT = "The capital of France is"
NAMES = ("uvicorn", "litserve", "bentoml", "ray", "cog")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(port, path, body, host="127.0.0.1", timeout=60):
    """(status, body) of one POST on a connection of its own; OSError while nobody listens."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        payload = json.dumps(body).encode()
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n".encode() + payload)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head, _, rest = received.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        whole, rest = rest, b""
        while whole:
            size, _, whole = whole.partition(b"\r\n")
            length = int(size, 16) if size else 0
            rest, whole = rest + whole[:length], whole[length + 2:]
    return int(head.split()[1]) if head else 0, rest


class Peer:
    """One system that serves handler.py over HTTP."""

    def __init__(self, name, workload):
        self.name, self.workload = name, workload
        self.port, self.mark = free_port(), uuid.uuid4().hex
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-peer-"))
        self.log = open(self.folder / "log", "wb")
        self.path = "/predictions" if name == "cog" else "/answer"
        self.host = "127.0.0.1"
        self.body = {"input": {"text": TEXT}} if name == "cog" else {"text": TEXT}

    def output_of(self, body):
        reply = json.loads(body)
        return reply.get("output") if self.name == "cog" else reply

    def command(self):
        bin_ = BUILT / self.name / "bin"
        python, port = str(bin_ / "python"), str(self.port)
        return {
            "uvicorn": [python, "-m", "uvicorn", "server:app", "--host", "127.0.0.1", "--port",
                        port, "--loop", "uvloop", "--http", "httptools", "--no-access-log",
                        "--log-level", "warning"],
            "litserve": [python, "server.py", port],
            "bentoml": [str(bin_ / "bentoml"), "serve", "server:Service", "--host", "127.0.0.1",
                        "--port", port, "--quiet"],
            "ray": [python, "server.py", port, str(self.folder)],
            "cog": [python, "-m", "cog.server.http", "--host", "127.0.0.1"],
        }[self.name]

    def environment(self):
        keep = {key: os.environ[key] for key in ("LANG", "HOME") if key in os.environ}
        return {
            **keep, "PATH": f"{BUILT / self.name / 'bin'}:/usr/bin:/bin", MARK: self.mark,
            "PYTHONPATH": f"{HERE}:{ROOT / 'examples/llm'}", "PEER_WORKLOAD": self.workload,
            "HF_HUB_OFFLINE": "1", "TMPDIR": str(self.folder),
            "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(self.folder / "bentoml"),
            "RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_LOG_TO_STDERR": "0",
            "PORT": str(self.port), "COG_PREDICT_TYPE_STUB": "predict.py:Predictor",
            "COG_MAX_CONCURRENCY": "32", "COG_LOG_LEVEL": "error",
        }

    def start(self, expected, limit_s=240):
        """Seconds from the start of the process to its first correct response."""
        started = time.perf_counter()
        self.process = subprocess.Popen(
            self.command(), cwd=HERE / self.name, env=self.environment(), stdout=self.log,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        while True:
            try:
                status, body = post(self.port, self.path, self.body)
                if 200 <= status < 300 and self.output_of(body) == expected:
                    return time.perf_counter() - started
                problem = f"{status} {body[:300]!r}"
            except OSError as failure:
                problem = str(failure)
            if self.process.poll() is not None or time.perf_counter() - started > limit_s:
                log = (self.folder / "log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{self.name}: no correct response: {problem}\n{log}")
            time.sleep(0.002)

    def processes(self):
        wanted, found = f"{MARK}={self.mark}".encode(), []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    raw = pathlib.Path(f"/proc/{entry}/environ").read_bytes()
                except OSError:
                    continue
                if wanted in raw.split(b"\0"):
                    found.append(int(entry))
        return found

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        limit = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < limit:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += int(stat[11]) + int(stat[12])
    return total / os.sysconf("SC_CLK_TCK")


def memory_mb(pids):
    """(resident, proportional) megabytes."""
    totals = {"Rss": 0, "Pss": 0}
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            name = line.split(":")[0]
            if name in totals:
                totals[name] += int(line.split()[1]) / 1024
    return round(totals["Rss"], 1), round(totals["Pss"], 1)
