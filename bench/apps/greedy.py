# SPDX-License-Identifier: Apache-2.0
"""What a greedy tenant runs: each function takes one bounded thing until it is refused."""
import ctypes
import os
import resource
import socket
import subprocess
import sys
import time

import modal

TENANT = os.environ.get("TENANT", "greedy")
app = modal.App(f"bench-{TENANT}", image=modal.Image.debian_slim(python_version="3.11"))
volume = modal.Volume.from_name(f"bench-{TENANT}", create_if_missing=True)


@app.function(scaledown_window=300)
def quick(number):
    return number


@app.function()
def burn(seconds):
    end = time.time() + seconds
    while time.time() < end:
        pass


@app.function()
def keep(data, seconds):
    time.sleep(seconds)
    return len(data)


@app.function()
def shout(seconds):
    end = time.time() + seconds
    while time.time() < end:
        sys.stdout.write("y" * 1000 + "\n")


@app.function()
def items(seconds):
    end = time.time() + seconds
    while time.time() < end:
        yield bytes(4_000_000)


def until_refused(take, seconds, most=1_000_000):
    """(how many, what the refusal said); holds them until the time is over."""
    end, held, said = time.time() + seconds, [], "not refused"
    while time.time() < end and len(held) < most:
        try:
            held.append(take())
        except OSError as error:
            said = str(error)
            break
    count = len(held)
    time.sleep(max(0, end - time.time()))
    return f"{count}, then: {said}"


@app.function()
def descriptors(seconds):
    def connect():
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(os.environ["MODAL_SERVER_URL"].removeprefix("unix://"))
        return peer

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return until_refused(connect, seconds, 30_000)


@app.function()
def processes(seconds):
    return until_refused(lambda: subprocess.Popen(["sleep", str(int(seconds))]), seconds, 5_000)


@app.function()
def inotify(seconds):
    libc = ctypes.CDLL(None, use_errno=True)

    def make():
        descriptor = libc.inotify_init()
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return descriptor

    return until_refused(make, seconds)


@app.function()
def flows(seconds):
    end, sent = time.time() + seconds, 0
    while time.time() < end:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            try:
                peer.sendto(b"x", ("192.0.2.1", 9))
                sent += 1
            except OSError as error:
                return f"{sent}, then: {error}"
    return f"{sent} sent"


@app.function(volumes={"/v": volume})
def holes():
    with open("/v/hole", "wb") as file:
        file.truncate(1 << 40)
    volume.commit()


@app.function(volumes={"/v": volume})
def fill(seconds):
    end, size = time.time() + seconds, 0
    try:
        with open("/tmp/fill", "wb") as file:
            while time.time() < end and size < 4_000_000_000:
                size += file.write(bytes(1 << 20))
    except OSError as error:
        return f"{size >> 20} MiB, then: {error}"
    return f"{size >> 20} MiB"
