# SPDX-License-Identifier: Apache-2.0
"""The program of a template: it imports what its containers need, then forks them on request.

Run as `python -u template_program.py [--shared FOLDER:FOLDER…] MODULE…`, with a message socket
(SOCK_SEQPACKET) as standard input; below the shared folders the same lies in all forks. The last
word of each request's argv after "-m" is the module that a fork runs as __main__, as `python -u -m
MODULE` would. It runs in its workspace's user namespace, where it may enter the namespaces that it
is handed; a fork gives that up for good before it announces itself, and runs nothing of the user's
before it was told to go. The other side is thaw/sandbox/detail/newcomer.h.

A fork may be made ahead, as a spare: it then does all that depends on no container and waits for
its order. What makes it differ from its siblings (random numbers) is done at the order.

One thread, no event loop, no socket but the control socket: a fork inherits nothing that works
behind its back. Standard library only, Python 3.9 or newer.
"""

import atexit
import ctypes
import gc
import importlib
import os
import random
import runpy
import signal
import socket
import struct
import sys
import time
import types

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000
SYS_CAPSET = 126 if os.uname().machine == "x86_64" else 91
SYS_SECCOMP = 317 if os.uname().machine == "x86_64" else 277
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 23, 24, 38
PR_SET_MM, PR_SET_MM_MAP = 35, 14
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
MADV_POPULATE_READ, MADV_POPULATE_WRITE = 22, 23
MAX_POPULATED = 64 << 20
CAPABILITY_VERSION_3 = 0x20080522
START_REPORT = "/run/thaw-start"

libc = ctypes.CDLL(None, use_errno=True)


def call(function, *arguments):
    result = function(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function.__name__}: {os.strerror(number)}")
    return result


def setns(fd, kind):
    call(libc.setns, ctypes.c_int(fd), ctypes.c_int(kind))


def prctl(*arguments):
    return call(libc.prctl, *(ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:5]))


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_void_p)]


class Reader:
    """What thaw/sandbox/detail/wire.h writes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self):
        (value,) = struct.unpack_from("<Q", self.data, self.at)
        self.at += 8
        return value

    def bytes(self):
        size = self.number()
        self.at += size
        return self.data[self.at - size : self.at]

    def texts(self):
        return [self.bytes() for _ in range(self.number())]


# --- Getting ready -------------------------------------------------------------------------------


def threads():
    return len(os.listdir("/proc/self/task"))


def is_single_threaded():
    """Threads that a library's own fork handler removes do no harm: try one."""
    if threads() == 1:
        return True
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return threads() == 1


def open_files():
    return set(os.listdir("/proc/self/fd"))


def preload(control, modules):
    """Imports what can be imported; returns one that leaves threads or open files behind. Says
    what it is about to import, for the case that this is its end."""
    before = len(open_files())
    for name in modules:
        if "." not in name and name not in sys.modules:
            control.send(f"at {name}".encode())
        try:
            importlib.import_module(name)
        except BaseException:  # noqa: BLE001 - whatever a stranger's module raises
            continue
        if not is_single_threaded() or len(open_files()) > before:
            return name
    return None


def forget(module):
    """`runpy` wants to be the first to execute it."""
    sys.modules.pop(module, None)
    package, _, name = module.rpartition(".")
    if package in sys.modules:
        vars(sys.modules[package]).pop(name, None)


# Whatever a function brings along, what lies below these is the template's too.
shared_folders = (sys.prefix, sys.base_prefix)


# --- In a fork -----------------------------------------------------------------------------------


def home_of(module):
    """The folder in which the module, or its package's folder, lies."""
    path = getattr(module, "__file__", None) or ""
    stem = os.path.basename(path).partition(".")[0]
    return os.path.dirname(os.path.dirname(path) if stem == "__init__" else path)


def is_shadowed(cwd):
    """The name of something in the function's own folders that a fresh start would have imported
    instead of what the template has; None is the usual case."""
    folders = [cwd]
    for entry in sys.path:
        if entry.startswith(shared_folders):
            break
        folders.append(entry)
    for folder in folders:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            stem = name.partition(".")[0]
            if stem not in sys.modules or home_of(sys.modules[stem]) == folder:
                continue
            package = os.path.join(folder, name, "__init__.py")
            if name.endswith((".py", ".so", ".pyc")) or os.path.exists(package):
                return stem
    return None


def populate():
    """Maps what a program will read and copies what it will write, counters of references most of
    all, so that it need not fault for it later. A kernel before 5.14 cannot, and it does later."""
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with open("/proc/self/maps") as maps:
        lines = [line.split() for line in maps]
    lines.sort(key=lambda words: words[-1] != "[heap]")
    left = {MADV_POPULATE_READ: MAX_POPULATED, MADV_POPULATE_WRITE: MAX_POPULATED}
    for words in lines:
        start, end = (int(address, 16) for address in words[0].split("-"))
        advice = MADV_POPULATE_WRITE if words[1] == "rw-p" else MADV_POPULATE_READ
        if words[1][0] != "r" or words[-1].startswith(("[stack", "[v")) or left[advice] <= 0:
            continue
        size = min(end - start, left[advice])
        left[advice] -= size
        libc.madvise(start, size, advice)


def forget_signals():
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGINT):
            try:
                signal.signal(number, signal.SIG_DFL)
            except (OSError, ValueError):
                pass
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def prepare():
    """What is the same in every container, at leisure."""
    os.nice(19)  # whoever gives the order takes that back
    os.setsid()
    forget_signals()
    seed()  # for the memory that this touches; it is done again
    populate()


def wait_for_order(hello):
    hello.send(b"here")
    is_prepared = False
    while True:
        data, fds, _, _ = socket.recv_fds(hello, 65536, 8)
        if data == b"prepare" and not fds and not is_prepared:
            prepare()
            is_prepared = True
            hello.send(b"ready")
            continue
        if len(fds) != 8:
            os._exit(1)
        if not is_prepared:
            os.setsid()
            forget_signals()
        return data, fds


def drop_powers(kept, uid, gid, groups):
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_READ, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break
        if not kept >> capability & 1:
            prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    kept = kept if uid == 0 else 0
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    sets = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    call(libc.syscall, ctypes.c_long(SYS_CAPSET), header, sets)


def apply_filter(program):
    buffer = ctypes.create_string_buffer(program, len(program))
    described = Filter(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p).value)
    call(libc.syscall, ctypes.c_long(SYS_SECCOMP), ctypes.c_ulong(1), ctypes.c_ulong(0),
         ctypes.byref(described))


def show(argv, environment):
    """Makes /proc/self/cmdline and environ, and so `ps`, tell of the container, not the template.
    A kernel without checkpoint/restore cannot; nothing depends on it."""
    arguments = b"\0".join(argv) + b"\0"
    entries = b"".join(name + b"=" + value + b"\0" for name, value in environment.items())
    show.buffer = ctypes.create_string_buffer(arguments + entries, len(arguments + entries))
    start = ctypes.addressof(show.buffer)
    middle = start + len(arguments)
    with open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    libc.sbrk.restype = ctypes.c_void_p
    areas = [int(fields[number - 3]) for number in (26, 27, 45, 46, 47)]
    areas += [libc.sbrk(ctypes.c_long(0)), int(fields[28 - 3])]
    areas += [start, middle, middle, middle + len(entries)]
    described = ctypes.create_string_buffer(struct.pack("=12QII", *areas, 0, 0, 0xFFFFFFFF))
    size = struct.calcsize("=12QII")
    libc.prctl(PR_SET_MM, ctypes.c_ulong(PR_SET_MM_MAP), described, ctypes.c_ulong(size), 0)


def seed():
    """What a fresh process would not share with another one."""
    fresh = os.urandom(64)
    random.seed(fresh)
    if "ssl" in sys.modules:
        sys.modules["ssl"].RAND_add(fresh, 0.0)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)
    uuid = sys.modules.get("uuid")
    if uuid is not None:
        uuid._node = None
        uuid._last_timestamp = None
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile._name_sequence = None


def tell_modules(before, pid):
    """When the program ends: what it imported of its image, for the next template. Only what the
    interpreter's own folders hold, which are the image's."""
    places = tuple(place.rstrip("/") + "/" for place in {sys.prefix, sys.base_prefix}
                   if place.startswith(("/usr", "/opt")))
    names = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        if name not in before and path.startswith(places) and name != "__main__":
            names.append(name)
    if names and os.getpid() == pid:
        try:
            # A pipe that the program itself has filled must not hold up its end.
            report = os.open(START_REPORT, os.O_WRONLY | os.O_NONBLOCK)
            os.write(report, f"modules {','.join(names)[:120000]}\n".encode())
        except OSError:
            pass


def move_in(order, fds):
    """Enters the namespaces and becomes what a container's program is, as seen by the kernel."""
    kinds = (CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWCGROUP)
    for fd, kind in zip(fds, kinds):
        setns(fd, kind)
    uid, gid, home, count = order.number(), order.number(), order.bytes(), order.number()
    groups = [order.number() for _ in range(count)]
    null = os.open("/dev/null", os.O_RDONLY)
    for source, target in zip((null, *fds[5:7]), range(3)):
        os.dup2(source, target)
    return uid, gid, groups, home


def become_container(hello):
    data, fds = wait_for_order(hello)
    request = Reader(os.pread(fds[7], os.fstat(fds[7]).st_size, 0))
    kept, program = request.number(), request.bytes()
    argv, env, cwd = request.texts(), request.texts(), request.bytes()
    uid, gid, groups, home = move_in(Reader(data), fds)
    os.makedirs(cwd, exist_ok=True)
    os.chdir(cwd)
    environment = dict(entry.split(b"=", 1) for entry in env if b"=" in entry)
    environment.setdefault(b"HOME", home)
    os.environ.clear()
    for name, value in environment.items():
        os.environb[name] = value
    folder = os.getcwd()
    shadowed = is_shadowed(folder)
    if shadowed:
        hello.send(f"{shadowed} of {folder} is another one".encode()[:200])
        os._exit(1)
    try:
        report = os.open(START_REPORT, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        report = None
    seed()
    atexit.register(tell_modules, frozenset(sys.modules), os.getpid())
    show(argv, environment)
    while os.getppid() != 1:  # until the one in between has gone
        time.sleep(0.0002)
    drop_powers(kept, uid, gid, groups)
    apply_filter(program)
    hello.send(b"fit")
    if hello.recv(16) != b"go":
        os._exit(1)
    if report is not None:
        os.write(report, b"%d\n" % time.monotonic_ns())
    hello.detach()
    os.closerange(3, 65536)
    words = [os.fsdecode(word) for word in argv]
    at = words.index("-m")
    sys.argv = ["-m", *words[at + 2 :]]
    sys.orig_argv = words
    sys.path.insert(0, folder)
    for entry in list(sys.path_importer_cache):
        if not entry.startswith(shared_folders):
            del sys.path_importer_cache[entry]
    return words[at + 1]


# --- Serving -------------------------------------------------------------------------------------


def serve(control):
    """Returns the module to run, in a fork. The template itself never returns."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the ones in between are let go at once
    while True:
        data, fds, _, _ = socket.recv_fds(control, 64, 8)
        if not data:
            os._exit(0)
        if len(fds) != 2:
            os._exit(1)
        pid_namespace, hello = fds
        try:
            setns(pid_namespace, CLONE_NEWPID)
            pid = os.fork()
        except OSError:
            pid = -1  # the sandbox has ended meanwhile
        if pid == 0:
            # Its child has the sandbox's PID 1 for a parent.
            if os.fork() != 0:
                os._exit(0)
            control.close()
            hello = socket.socket(fileno=hello)
            try:
                return become_container(hello)
            except BaseException as error:  # noqa: BLE001 - the builder passes it on
                hello.send(repr(error).encode(errors="replace")[:200])
                os._exit(1)
        setns(own, CLONE_NEWPID)
        for fd in fds:
            os.close(fd)


def main():
    global shared_folders
    arguments = sys.argv[1:]
    control = socket.socket(fileno=os.dup(0))
    left_out = []
    if arguments[:1] == ["--without"]:
        left_out = arguments[1].split(",")
        arguments = arguments[2:]
    given = arguments
    if arguments[:1] == ["--shared"]:
        shared_folders += tuple(filter(None, arguments[1].split(":")))
        arguments = arguments[2:]
    script, sys.path[0:1] = sys.argv[0], []
    if len(left_out) > 8:
        arguments = arguments[:1]  # an image full of them
    wanted = [name for name in arguments if name not in left_out]
    culprit = preload(control, wanted)
    if culprit:
        # Threads do not outlive an exec; what started them is not imported again.
        without = ",".join([*left_out, culprit])
        os.execv(sys.executable, [sys.executable, "-u", script, "--without", without, *given])
    if arguments:
        forget(arguments[0])
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.modules["__main__"] = types.ModuleType("__main__")
    gc.collect()
    gc.freeze()
    control.send(("ready " + ",".join(left_out)).encode()[:4096])
    return serve(control)


if __name__ == "__main__":
    module = main()
    runpy._run_module_as_main(module)
