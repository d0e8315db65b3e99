# SPDX-License-Identifier: Apache-2.0
# Written by Thaw, for containers that become memory snapshots. A restored program gets a signal
# before it may go on: what must not be the same in two restores is renewed here. The hash seed and
# the addresses of objects stay the same. A thread waits for the signal, which all others block: it
# comes before the threads are back where they were, and a handler would run before the main thread
# goes to sleep again, and be noticed by nobody.
import _thread
import os
import signal
import sys
import time

SIGNAL = 61
START_REPORT = "/run/thaw-start"


def renew_uuid(uuid):
    uuid._node = None
    uuid._last_timestamp = None


def renew_openssl(ssl):
    ssl.RAND_add(os.urandom(64), 64.0)


def renew_authkey(process):
    # Children of before the restore know the old one, and are to be spoken with.
    if process.active_children() or process.parent_process() is not None:
        return
    process.current_process().authkey = os.urandom(32)


def renew_names(tempfile):
    tempfile._name_sequence = None


# Only of modules that the program has imported.
RENEWALS = {
    "random": lambda module: module.seed(),
    "numpy.random": lambda module: module.seed(),
    "torch": lambda module: module.seed(),
    "_ssl": renew_openssl,
    "uuid": renew_uuid,
    "tempfile": renew_names,
    "multiprocessing.process": renew_authkey,
    "time": lambda module: module.tzset(),
}


def restored():
    for name, renew in RENEWALS.items():
        module = sys.modules.get(name)
        if module is not None:
            try:
                renew(module)
            except Exception as error:
                print(f"thaw: {name} is not renewed after the restore: {error}", file=sys.stderr)
    if "HOSTNAME" in os.environ:
        os.environ["HOSTNAME"] = os.uname().nodename
    tell("")


def tell(word):
    report = os.open(START_REPORT, os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(report, f"{time.monotonic_ns()}{word}\n".encode())
    finally:
        os.close(report)


def wait():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        signal.sigwait({SIGNAL})
        restored()


def listen():
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
    _thread.start_new_thread(wait, ())
    tell(" restorable")
