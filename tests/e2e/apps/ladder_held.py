# SPDX-License-Identifier: Apache-2.0
"""Programs that hold, when their snapshot is taken, what lives outside of their own memory."""
import ctypes
import fcntl
import mmap
import os
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import modal

app = modal.App("e2e-ladder-held")
volume = modal.Volume.from_name("e2e-ladder-held", create_if_missing=True)
snapshotted = {"enable_memory_snapshot": True, "scaledown_window": 2}
libc = ctypes.CDLL(None, use_errno=True)


class Held:
    """`load` runs before the snapshot, `look` after it: each finds what the other has made."""

    @modal.enter(snap=True)
    def begin(self):
        self.load()

    @modal.method()
    def use(self):
        return {"task": os.environ["MODAL_TASK_ID"], "value": self.look()}


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


# --- What comes back ----------------------------------------------------------------------------


class Pipes:
    def load(self):
        self.read, self.write = os.pipe()
        os.write(self.write, b"before ")
        os.mkfifo("/tmp/fifo")
        self.fifo = os.open("/tmp/fifo", os.O_RDWR)
        os.write(self.fifo, b"in a fifo")

    def look(self):
        os.write(self.write, b"after ")
        return (os.read(self.read, 100) + os.read(self.fifo, 100)).decode()


class Mapped:
    """A shared mapping of a file of its own, a private one of a file of the image."""

    def load(self):
        self.file = open("/tmp/mapped", "w+b")
        self.file.write(b"x" * 8192)
        self.file.flush()
        self.shared = mmap.mmap(self.file.fileno(), 8192)
        self.shared[4096:4102] = b"before"
        with open(sys.executable, "rb") as image:
            self.private = mmap.mmap(image.fileno(), 4096, access=mmap.ACCESS_COPY)
        self.private[8:12] = b"mine"

    def look(self):
        self.shared[0:5] = b"after"
        with open("/tmp/mapped", "rb") as file:
            seen = file.read()
        with open(sys.executable, "rb") as image:
            same = image.read(4096)[12:] == self.private[12:]
        return [seen[:5].decode(), seen[4096:4102].decode(), self.private[8:12].decode(), same]


class SharedMemory:
    """Anonymous memory, and a memory file that a child writes into."""

    def load(self):
        self.memory = mmap.mmap(-1, 4096)
        self.memory[0:6] = b"before"
        self.file = os.memfd_create("held")
        os.ftruncate(self.file, 4096)
        self.shared = mmap.mmap(self.file, 4096)
        program = """if True:
            import mmap, sys
            memory = mmap.mmap(int(sys.argv[1]), 4096)
            for line in sys.stdin:
                memory[0:5] = line[:5].encode()
                print("done", flush=True)"""
        self.child = subprocess.Popen([sys.executable, "-c", program, str(self.file)], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      pass_fds=[self.file])  # fmt: skip

    def look(self):
        self.child.stdin.write("child\n")
        self.child.stdin.flush()
        self.child.stdout.readline()
        return [self.memory[0:6].decode(), self.shared[0:5].decode()]


class Locks:
    """flock and a POSIX record lock, both seen by a child that has none."""

    def load(self):
        self.flock = open("/tmp/flock", "w")
        fcntl.flock(self.flock, fcntl.LOCK_EX)
        self.record = open("/tmp/record", "w")
        fcntl.lockf(self.record, fcntl.LOCK_EX)

    def look(self):
        program = """if True:
            import fcntl
            for take, path in (fcntl.flock, "/tmp/flock"), (fcntl.lockf, "/tmp/record"):
                try:
                    take(open(path, "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)
                    print("free")
                except OSError:
                    print("held")"""
        return subprocess.check_output([sys.executable, "-c", program], text=True).split()


class Waiting:
    """Things that an event loop waits for: timers, events, signals, a listening socket."""

    def load(self):
        self.ticks = []
        threading.Timer(3600, print).start()
        self.event = os.eventfd(3)
        self.listener = socket.create_server(("127.0.0.1", 0))
        left, self.right = socket.socketpair()
        self.left = left
        left.send(b"in flight")
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.event, selectors.EVENT_READ, "event")
        self.selector.register(self.listener, selectors.EVENT_READ, "listener")
        self.selector.register(self.right, selectors.EVENT_READ, "pair")
        signal.signal(signal.SIGUSR2, lambda *_: self.ticks.append("signal"))

    def look(self):
        os.kill(os.getpid(), signal.SIGUSR2)
        with socket.create_connection(self.listener.getsockname(), timeout=10):
            time.sleep(0.05)
            ready = sorted(key.data for key, _ in self.selector.select(5))
        return [ready, self.right.recv(100).decode(), self.ticks, os.eventfd_read(self.event)]


class Processes:
    """A child with a child, in a session of its own; one that has ended and nobody asked."""

    def load(self):
        self.child = subprocess.Popen(["sh", "-c", "cat; true"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, start_new_session=True)  # fmt: skip
        self.ended = subprocess.Popen(["sh", "-c", "exit 7"])
        time.sleep(0.3)

    def look(self):
        said, _ = self.child.communicate(b"echo", timeout=10)
        return [said.decode(), self.child.returncode, self.ended.wait()]


class Surroundings:
    """Its folder, umask, limits, variables and what it wrote, changed and deleted in its root."""

    def load(self):
        os.makedirs("/srv/here", exist_ok=True)
        os.chdir("/srv/here")
        os.umask(0o027)
        resource.setrlimit(resource.RLIMIT_NOFILE, (333, 444))
        os.environ["LATER"] = "set"
        with open("/etc/debian_version", "w") as file:
            file.write("changed")
        os.unlink("/etc/issue")
        os.symlink("/srv/here", "/srv/there")

    def look(self):
        with open("file", "w"):
            pass
        with open("/etc/debian_version") as file:
            changed = file.read()
        child = subprocess.check_output(["sh", "-c", "echo $LATER"], text=True).strip()
        return [os.getcwd(), oct(os.stat("/srv/there/file").st_mode & 0o777), child, changed,
                list(resource.getrlimit(resource.RLIMIT_NOFILE)), os.path.exists("/etc/issue")]


@app.cls(**snapshotted)
class ComesBack(Held):
    def load(self):
        self.parts = [Pipes(), Mapped(), SharedMemory(), Locks(), Waiting(), Processes(),
                      Surroundings()]  # fmt: skip
        for part in self.parts:
            part.load()

    def look(self):
        return {type(part).__name__: part.look() for part in self.parts}


@app.cls(**snapshotted)
class OutsideConnection(Held):
    """A connection to something outside of the container is closed, and the program can tell."""

    address: str = modal.parameter()

    def load(self):
        host, port = self.address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)

    def look(self):
        try:
            self.socket.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            alive = bool(self.socket.recv(10))
        except OSError:
            alive = False
        return [alive, self.again()]

    def again(self):
        host, port = self.address.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as other:
            other.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return other.recv(5).decode()


# --- What does not, so that the function goes on without a snapshot ------------------------------


@app.cls(**snapshotted)
class Inotify(Held):
    def load(self):
        os.mkdir("/tmp/watched")
        self.fd = checked(libc.inotify_init1(os.O_NONBLOCK))
        checked(libc.inotify_add_watch(self.fd, b"/tmp/watched", 0x100))  # IN_CREATE

    def look(self):
        with open("/tmp/watched/news", "w"):
            pass
        _, mask, _, size = struct.unpack_from("iIII", event := os.read(self.fd, 4096))
        return event[16 : 16 + size].rstrip(b"\0").decode() if mask == 0x100 else mask


@app.cls(**snapshotted)
class Forked(Held):
    """A child made by fork alone has a copy of everything, also of the connection to Thaw."""

    def load(self):
        self.child = os.fork()
        if self.child == 0:
            time.sleep(3600)

    def look(self):
        os.kill(self.child, signal.SIGKILL)
        return os.waitpid(self.child, 0)[0] == self.child


@app.cls(**snapshotted)
class Daemon(Held):
    """A process that has left its parent, as daemons do."""

    def load(self):
        program = """if True:
            import os, socket
            if os.fork() == 0:
                os.setsid()
                server = socket.create_server(("127.0.0.1", 7322))
                while True:
                    server.accept()[0].send(b"daemon")"""
        subprocess.check_call([sys.executable, "-c", program])

    def look(self):
        for _ in range(100):
            try:
                with socket.create_connection(("127.0.0.1", 7322), timeout=10) as connection:
                    return connection.recv(10).decode()
            except ConnectionRefusedError:
                time.sleep(0.1)


@app.cls(**snapshotted)
class ShmFile(Held):
    def load(self):
        with open("/dev/shm/weights", "w") as file:
            file.write("weights")

    def look(self):
        with open("/dev/shm/weights") as file:
            return file.read()


@app.cls(**snapshotted)
class SystemV(Held):
    """A shared memory segment that nobody is attached to at the moment."""

    def load(self):
        self.id = checked(libc.shmget(0x7461, 4096, 0o1600))

    def look(self):
        return libc.shmget(0x7461, 4096, 0o600) == self.id


@app.cls(**snapshotted)
class OutsideSocket(Held):
    """Both ends of a Unix connection, one of them outside: it can be neither closed nor kept."""

    def load(self):
        path = os.environ["MODAL_SERVER_URL"].removeprefix("unix://")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)

    def look(self):
        return self.socket.getpeername().endswith("api.sock")


# --- Volumes, and containers that are kept --------------------------------------------------------


@app.cls(volumes={"/data": volume}, **snapshotted)
class OnVolume(Held):
    def load(self):
        with open("/data/loaded", "a") as file:
            file.write("x")
        volume.commit()

    def look(self):
        volume.reload()
        with open("/data/news") as file:
            news = file.read()
        with open("/data/mine", "a") as file:
            file.write(news)
        volume.commit()
        return news


@app.cls(volumes={"/data": volume}, **snapshotted)
class MappedOnVolume(Held):
    def load(self):
        with open("/data/weights", "rb") as file:
            self.weights = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def look(self):
        return self.weights[:7].decode()


@app.cls(volumes={"/data": volume}, **snapshotted)
class OpenOnVolume(Held):
    """An open file of a volume, which somebody else makes longer after the snapshot."""

    def load(self):
        self.file = open("/data/log")

    def look(self):
        return self.file.read()


@app.function(volumes={"/data": volume})
def write(name, text):
    with open(f"/data/{name}", "w") as file:
        file.write(text)
    volume.commit()


@app.function(volumes={"/data": volume})
def read(name):
    volume.reload()
    with open(f"/data/{name}") as file:
        return file.read()


@app.cls(min_containers=1, enable_memory_snapshot=True)
class Kept(Held):
    def load(self):
        self.loaded = time.time()

    def look(self):
        return self.loaded


@app.cls(buffer_containers=1, **snapshotted)
class Buffered(Held):
    def load(self):
        self.loaded = time.time()

    def look(self):
        time.sleep(1.5)
        return self.loaded
