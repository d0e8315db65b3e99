# SPDX-License-Identifier: Apache-2.0
"""The client's command line, imported once by a process of its own and forked for each command.

Importing it takes longer than most of its commands, and tests give hundreds of them. A fork goes on
as `python -m modal ARGUMENTS`, or `python -c PROGRAM`, does once that has been imported: the same
code, with the arguments, folder, environment and outputs of the command, to the end of the
interpreter. Not for a command whose environment the client reads while it is imported; that one
starts an interpreter.
"""
import atexit
import functools
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
import warnings

MOST_BYTES = 128 << 10  # of one command's words and environment


class PreloadedClient:
    """One process that is forked; made by the first command, ended with the test. Thread-safe."""

    def __init__(self, python=sys.executable):
        self.python = str(python)
        self._lock = threading.Lock()
        self._end_process = None
        self._socket = None

    def fork_here(self):
        """Makes it of this process, which then need not import the client a second time; before
        this one has threads, or else with the first command. In the forks it does not return."""
        if len(os.listdir("/proc/self/task")) > 1:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            ours.close()
            serve(theirs)
            sys.exit()
        theirs.close()
        self._socket, self._end_process = ours, functools.partial(os.waitpid, pid, 0)
        atexit.register(self._end, os.getpid())

    def _start(self, environment):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [self.python, __file__, str(theirs.fileno())], env=environment,
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self._socket, self._end_process = ours, process.wait
        atexit.register(self._end, os.getpid())

    def _end(self, owner):
        if os.getpid() == owner:
            self._socket.close()
            self._end_process()

    def run(self, arguments, cwd, environment, timeout):
        """As subprocess.run does with `python` and these arguments (`-m modal …`, or `-W ignore -c
        PROGRAM`), with both outputs as text."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            told, tell = os.pipe()
            with open(told, "rb") as told:
                with open(tell, "wb") as tell, self._lock:
                    if self._socket is None:
                        self._start(environment)
                    wanted = {"arguments": arguments, "cwd": str(cwd), "environment": environment}
                    descriptors = [out.fileno(), err.fileno(), tell.fileno()]
                    socket.send_fds(self._socket, [json.dumps(wanted).encode()], descriptors)
                late = threading.Event()
                pid = int(told.readline() or 0)
                if not pid:
                    raise AssertionError("the client could not be forked; its output is above")

                def stop():
                    late.set()
                    os.kill(pid, signal.SIGKILL)

                timer = threading.Timer(timeout, stop)
                timer.start()
                code = told.readline()  # its parent tells it, which reaps it only then
                timer.cancel()
            command = [self.python, *arguments]
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
            if late.is_set():
                raise subprocess.TimeoutExpired(command, timeout, *texts)
            return subprocess.CompletedProcess(command, int(code), *texts)


def next_command(control):
    """Forks for each command that comes. Returns in the process that is to run it."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, MOST_BYTES, 3)
        if not data:
            sys.exit(0)
        middle = os.fork()
        if middle == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
        # Those that have ended. One that runs is waited for by its own parent.
        while any_ended():
            pass
    control.close()
    out, err, tell = descriptors
    pid = os.fork()
    if pid != 0:
        os.write(tell, f"{pid}\n".encode())
        # It stays a zombie, whose number is nobody else's, until its end is told.
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        os.write(tell, f"{code}\n".encode())
        os._exit(0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for descriptor in descriptors:
        os.close(descriptor)
    return json.loads(data)


def any_ended():
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def serve(control):
    """Returns in no process: the one that forks ends with its socket, a fork with its command."""
    import modal.__main__  # noqa: F401

    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("the client starts threads while it is imported: it cannot be forked")
    gc.freeze()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = next_command(control)
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["environment"])
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    become(command["arguments"])


def become(arguments):
    if arguments[:2] == ["-W", "ignore"]:
        warnings.simplefilter("ignore")
        arguments = arguments[2:]
    del sys.modules["modal.__main__"]  # it runs anew, as the program
    if arguments[:2] == ["-m", "modal"]:
        sys.path[0] = os.getcwd()
        sys.argv = arguments[1:]
        runpy.run_module("modal", run_name="__main__", alter_sys=True)
        sys.exit()
    if len(arguments) < 2 or arguments[0] != "-c":
        sys.exit(f"this cannot be forked: {arguments}")
    sys.path[0] = ""
    sys.argv = ["-c", *arguments[2:]]
    sys.modules["__main__"] = program = types.ModuleType("__main__")
    exec(compile(arguments[1], "<string>", "exec"), program.__dict__)
    sys.exit()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
