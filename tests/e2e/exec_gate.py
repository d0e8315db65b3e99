# SPDX-License-Identifier: Apache-2.0
"""Holds each start of one program until the test lets it go on.

What starts in milliseconds and is gone as soon cannot be met by looking for it. The kernel asks a
listener of fanotify (FAN_OPEN_EXEC_PERM) for leave before it executes a file, and tells who asks;
that process stands still meanwhile, and can be killed there. When the test ends, all may go on.
"""
import ctypes
import os
import queue
import select
import struct
import threading

import thaw_server

FAN_CLASS_CONTENT, FAN_CLOEXEC, FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, FAN_ALLOW = 4, 1, 1, 0x40000, 1
AT_FDCWD = -100
EVENT = struct.Struct("=IBBHQii")  # length, version, reserved, head, mask, descriptor, process

libc = ctypes.CDLL(None, use_errno=True)


def checked(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def listen_to(program):
    """The descriptor at which the kernel asks whether `program` may be executed."""
    listener = checked(
        libc.fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, os.O_RDONLY | os.O_CLOEXEC),
        "fanotify_init",
    )
    checked(
        libc.fanotify_mark(
            listener, FAN_MARK_ADD, ctypes.c_uint64(FAN_OPEN_EXEC_PERM), AT_FDCWD,
            os.fsencode(program),
        ),
        "fanotify_mark",
    )  # fmt: skip
    return listener


def need_gates(program):
    try:
        os.close(listen_to(program))
    except OSError as error:
        thaw_server.skip_all(f"this kernel holds no program at its start: {error}")


class Held:
    """A process that is about to become the program, and waits; `release` lets it."""

    def __init__(self, pid, listener, file):
        self.pid, self._listener, self._file = pid, listener, file

    def release(self):
        if self._file is not None:
            try:
                os.write(self._listener, struct.pack("=iI", self._file, FAN_ALLOW))
            except FileNotFoundError:
                pass  # it was killed while it waited
            os.close(self._file)
            self._file = None


class ExecGate:
    """While it is entered, `next` gives each start of `program` below `ancestor`, held."""

    def __init__(self, program, ancestor):
        self._ancestor = ancestor
        self._listener = listen_to(program)
        self._held = queue.Queue()
        self._open = threading.Event()
        self._ends, self._end = os.pipe()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self):
        self._reader.start()
        return self

    def __exit__(self, *_):
        self.open()
        os.close(self._end)
        self._reader.join()
        for descriptor in (self._listener, self._ends):
            os.close(descriptor)

    def next(self, timeout):
        """The next start, or None if there was none in so many seconds."""
        try:
            return self._held.get(timeout=timeout)
        except queue.Empty:
            return None

    def open(self):
        """From now on nothing is held; what `next` did not give goes on."""
        self._open.set()
        while not self._held.empty():
            self._held.get().release()

    def _read(self):
        while True:
            ready, _, _ = select.select([self._listener, self._ends], [], [])
            if self._ends in ready:
                return
            data = os.read(self._listener, 4096)
            while data:
                length, _, _, _, _, file, pid = EVENT.unpack_from(data)
                data = data[length:]
                held = Held(pid, self._listener, file)
                # Other servers of this machine run the same file.
                if self._open.is_set() or self._ancestor not in thaw_server.ancestors_of(pid):
                    held.release()
                    continue
                self._held.put(held)
                if self._open.is_set():
                    self.open()
