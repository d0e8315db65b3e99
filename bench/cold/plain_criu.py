# SPDX-License-Identifier: Apache-2.0
"""CRIU by itself: the heap of apps/heap300.py in a bare process, dumped once, restored many times.

No sandbox, no server, no client: the floor of what a restore of that memory costs, by the very
program that Thaw uses (tools/criu). A restore is timed from its exec to its end, when the process
runs; what the process then says of its memory is compared with the oracle, not timed.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

CRIU = pathlib.Path(os.environ.get("THAW_CRIU_FOLDER", "/usr/local/lib/thaw/criu")) / "criu"
RUN_FOLDER = 5  # the descriptor of the folder in which this build of CRIU keeps what it learned
ASK = {"digest": signal.SIGUSR1, "read": signal.SIGUSR2, "write": signal.SIGALRM}
# Tells after each signal: its name for this run of its start, and what it was asked for.
PROGRAM = """
import hashlib, os, random, signal, sys
asks = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM}
signal.pthread_sigmask(signal.SIG_BLOCK, asks)
init = os.urandom(16).hex()
blocks = [bytearray(random.Random(n).randbytes(1 << 20)) for n in range(300)]
asked = signal.SIGUSR1
while True:
    word = "done"
    if asked == signal.SIGUSR1:
        found = hashlib.sha256()
        for block in blocks:
            found.update(block)
        word = found.hexdigest()
    elif asked == signal.SIGUSR2:
        word = str(sum(sum(block[::4096]) for block in blocks))
    else:
        for block in blocks:
            block[::4096] = block[::4096]
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(init + " " + word)
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    asked = signal.sigwait(asks)
"""


class PlainCriu:
    def __init__(self):
        if not CRIU.is_file():
            raise RuntimeError(f"there is no {CRIU}; tools/setup builds it")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-bench-criu-", dir="/run"))
        self.images = pathlib.Path(tempfile.mkdtemp(prefix="thaw-bench-criu-"))
        self.said = self.images / "said"
        self.pid = 0
        process = subprocess.Popen(
            ["/usr/bin/python3", "-c", PROGRAM, str(self.said)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            cwd="/", env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})
        self.pid = process.pid
        self.init, self.oracle = self.wait_for_word()
        self.run("dump", "--tree", str(process.pid))
        process.wait()
        self.alive = False

    def wait_for_word(self):
        limit = time.monotonic() + 60
        while not self.said.exists():
            if time.monotonic() > limit:
                raise RuntimeError("the process outside Thaw says nothing")
            time.sleep(0.0005)
        init, word = self.said.read_text().split()
        self.said.unlink()
        return init, word

    def ask(self, what):
        os.kill(self.pid, ASK[what])
        return self.wait_for_word()

    def run(self, verb, *options):
        runs = os.open(self.folder, os.O_DIRECTORY | os.O_RDONLY)

        def give():
            os.dup2(runs, RUN_FOLDER)

        try:
            command = [str(CRIU), verb, "--no-default-config", "--images-dir", str(self.images),
                       "--manage-cgroups=ignore", "--network-lock", "skip", "-v0", *options]
            subprocess.run(command, check=True, preexec_fn=give, pass_fds=(RUN_FOLDER,),
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=120, env={})
        finally:
            os.close(runs)

    def restore(self, touch=""):
        """One run: seconds until it is restored, and has read or written all its memory if that is
        asked for; it then tells what it holds and which start that comes from, and is ended."""
        started = time.perf_counter()
        self.run("restore", "--restore-detached")
        self.alive = True
        if touch:
            self.ask(touch)
        taken = time.perf_counter() - started
        init, word = self.ask("digest")
        self.end()
        return {"seconds": taken, "init": init, "right": word == self.oracle}

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        limit = time.monotonic() + 10
        while pathlib.Path(f"/proc/{self.pid}").exists() and time.monotonic() < limit:
            time.sleep(0.01)
        self.alive = False

    def close(self):
        if self.alive:
            self.end()
        for folder in (self.folder, self.images):
            shutil.rmtree(folder, ignore_errors=True)
