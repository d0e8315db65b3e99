# SPDX-License-Identifier: Apache-2.0
"""What programs do inside of a function: processes, shared memory, output, clocks, signals."""
import array
import asyncio
import atexit
import concurrent.futures
import contextlib
import datetime
import logging
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import shared_memory

import modal

app = modal.App("e2e-programs")
ends = modal.Dict.from_name("e2e-programs-ends", create_if_missing=True)
MB = 1 << 20


# Processes


def square(number):
    return number * number


@app.function(memory=(128, 1024))
def pools(method: str):
    context = multiprocessing.get_context(method)
    with context.Pool(4) as pool:
        mapped = pool.map(square, range(100))
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        again = list(pool.map(square, range(20)))
    return sum(mapped), sum(again)


def fill(name, number, size, lock, done):
    """What a worker of a data loader does: a batch into memory that its reader has too."""
    memory = shared_memory.SharedMemory(name)
    with lock:
        memory.buf[number * size : (number + 1) * size] = bytes([number + 1]) * size
    memory.close()
    done.put(number)


@app.function(memory=(128, 2048))
def shared(workers: int, megabytes: int):
    size = megabytes * MB
    memory = shared_memory.SharedMemory(create=True, size=workers * size)
    lock, done = multiprocessing.Lock(), multiprocessing.Queue()
    processes = [
        multiprocessing.Process(target=fill, args=(memory.name, n, size, lock, done))
        for n in range(workers)
    ]
    for process in processes:
        process.start()
    told = sorted(done.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    found = [memory.buf[n * size] + memory.buf[(n + 1) * size - 1] for n in range(workers)]
    free = os.statvfs("/dev/shm").f_bavail * os.statvfs("/dev/shm").f_frsize
    memory.close()
    memory.unlink()
    return told, found, free


def lend(connection, megabytes):
    """The other way in which data loaders share: a file without a name, sent by its descriptor."""
    file = os.memfd_create("batch")
    os.truncate(file, megabytes * MB)
    os.pwrite(file, b"of a worker", 0)
    multiprocessing.reduction.send_handle(connection, file, None)
    connection.recv()


@app.function()
def lent():
    from multiprocessing import reduction

    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=lend, args=(theirs, 32))
    process.start()
    file = reduction.recv_handle(ours)
    found = os.pread(file, 11, 0)
    ours.send("read")
    process.join()
    return found, process.exitcode


@app.function()
def managed():
    with multiprocessing.Manager() as manager:
        kept = manager.dict()
        processes = [
            multiprocessing.Process(target=kept.__setitem__, args=(n, n)) for n in range(4)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return dict(kept)


@app.function(scaledown_window=2)
def leave_a_tree(seconds: int):
    """Returns while a grandchild, a process of its own session and a stopped one go on."""
    script = f"(sleep {seconds} & setsid sleep {seconds} &) > /dev/null 2>&1"
    subprocess.run(["sh", "-c", script], check=True)
    stopped = subprocess.Popen(["sleep", str(seconds)])
    stopped.send_signal(signal.SIGSTOP)
    return os.environ["MODAL_TASK_ID"]


@app.function()
def orphans(count: int):
    """Processes whose parent has gone and that nobody waits for: how many stay as zombies?"""
    script = "for n in $(seq %d); do (sleep 0.0$n &) ; done" % count
    subprocess.run(["bash", "-c", script], check=True)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        states = []
        for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                states.append(status.read_text().rpartition(")")[2].split()[0])
        if "Z" not in states:
            return 0
        time.sleep(0.1)
    return states.count("Z")


@app.function()
def pipeline():
    script = "set -o pipefail; seq 100000 | sort -rn | head -1 | tr -d 0"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    missing = subprocess.run(["sh", "-c", "no-such-program"], capture_output=True, text=True)
    return done.stdout.strip(), missing.returncode, "not found" in missing.stderr


@app.function()
def loops():
    async def inner():
        await asyncio.sleep(0.01)
        process = await asyncio.create_subprocess_exec("echo", "of a child", stdout=-1)
        return (await process.communicate())[0].decode().strip()

    with asyncio.Runner() as runner:
        last = runner.run(inner())
    return asyncio.run(inner()), last


@app.function()
async def loops_async():
    def inner():
        return asyncio.run(asyncio.sleep(0.01, "of a thread"))

    running = asyncio.get_running_loop()
    found = await asyncio.gather(asyncio.to_thread(inner), running.run_in_executor(None, inner))
    try:
        inner()
    except RuntimeError as error:
        return *found, str(error)


@app.function()
def threads(count: int):
    barrier, found = threading.Barrier(count), []

    def run():
        barrier.wait(60)
        found.append(1)

    all_of_them = [threading.Thread(target=run) for _ in range(count)]
    for one in all_of_them:
        one.start()
    for one in all_of_them:
        one.join()
    return len(found)


@app.function()
def signals():
    seen = []
    signal.signal(signal.SIGUSR2, lambda number, frame: seen.append(number))
    signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    os.kill(os.getpid(), signal.SIGUSR2)
    signal.sigtimedwait([], 0.3)
    child = subprocess.Popen(["sleep", "60"])
    child.terminate()
    main_thread = threading.current_thread() is threading.main_thread()
    return sorted(seen), child.wait(), main_thread


# Clocks


def clock():
    now = datetime.datetime.now().astimezone()
    return {
        "time": time.time(),
        "offset": now.utcoffset().total_seconds(),
        "date": subprocess.check_output(["date", "+%s %z"], text=True).split(),
        "slept": slept(),
    }


def slept():
    started = time.monotonic()
    time.sleep(0.2)
    return time.monotonic() - started


@app.function()
def clock_as_it_is():
    return clock()


@app.function(secrets=[modal.Secret.from_dict({"TZ": "XYZ-5:30"})])
def clock_of_a_secret():
    return clock()


@app.function(image=modal.Image.debian_slim().env({"TZ": "XYZ+8"}))
def clock_of_an_image():
    return clock()


# Output


@app.function()
def bars():
    for number in range(101):
        sys.stdout.write(f"\rloading {number:3d}%")
        sys.stdout.flush()
        if number % 10 == 0:
            time.sleep(0.02)
    sys.stdout.write("\nthe bar is full\n")
    for number in range(101):
        print(f"\rof stderr {number}%", end="", file=sys.stderr)
    print(file=sys.stderr)


@app.function()
def colours():
    print("\x1b[31mred\x1b[0m and \x1b[1mbold\x1b[0m")
    print("\x1b[2K\x1b[1Aup again \x1b]8;;http://x\x07a link\x1b]8;;\x07")


@app.function()
def binary():
    sys.stdout.buffer.write(bytes(range(256)) * 20 + b"\n")
    sys.stdout.buffer.flush()
    os.write(2, b"\xff\xfe\x00 of stderr\n")
    print("after the bytes")


@app.function()
def in_pieces():
    for byte in "grüße, 世界 \U0001f9ca\n".encode():
        os.write(1, bytes([byte]))
        time.sleep(0.002)
    sys.stdout.write("and without a line's end")


@app.function()
def from_everywhere():
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.info("of logging")
    subprocess.run(["sh", "-c", "echo of a child; echo of its stderr >&2"], check=True)
    os.write(1, b"of a descriptor\n")
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(print, ("of a worker",), {"flush": True})
    thread = threading.Thread(target=print, args=("of a thread",))
    thread.start()
    thread.join()
    print("to where stdout was at the start", file=sys.__stdout__)
    with contextlib.redirect_stdout(sys.stderr):
        print("redirected")


@app.function()
def flood(children: int, lines: int):
    """Several processes that share one output."""
    script = "i=0; while [ $i -lt %d ]; do echo of $0 line $i; i=$((i+1)); done" % lines
    started = [subprocess.Popen(["sh", "-c", script, f"{n}"]) for n in range(children)]
    return [one.wait() for one in started]


# Ends


@app.cls(scaledown_window=2, max_containers=1)
class Slow:
    @modal.enter()
    def enter(self):
        self.name = "nobody"
        atexit.register(lambda: ends.put(f"{self.name} atexit", True))

    @modal.method()
    def call(self, name: str):
        self.name = name

    @modal.exit()
    def exit(self):
        ends[f"{self.name} began"] = True
        time.sleep(6)
        ends[f"{self.name} ended"] = True


@app.cls(scaledown_window=2, max_containers=1)
class Endless:
    @modal.method()
    def call(self):
        return os.environ["MODAL_TASK_ID"]

    @modal.exit()
    def exit(self):
        ends["endless began"] = True
        while True:
            time.sleep(1)


@app.cls(scaledown_window=2, max_containers=1)
class Failing:
    @modal.method()
    def call(self):
        return os.environ["MODAL_TASK_ID"]

    @modal.exit()
    def first(self):
        ends["failing began"] = True
        raise ValueError("an exit that fails")


@app.function(scaledown_window=2)
def deaf():
    """A program that hears no signal that can be ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    thread = threading.Thread(target=lambda: time.sleep(3600))
    thread.start()
    return os.environ["MODAL_TASK_ID"]


@app.function()
def arrays(count: int):
    """Copies between processes through a raw array, as numerical programs do."""
    values = multiprocessing.Array("d", count)
    process = multiprocessing.Process(target=double, args=(values,))
    process.start()
    process.join()
    return sum(array.array("d", values.get_obj()))


def double(values):
    with values.get_lock():
        for index in range(len(values)):
            values[index] = 2.0
