# SPDX-License-Identifier: Apache-2.0
"""What programs raise, and how they end, other than by a plain exception."""
import asyncio
import functools
import os
import signal
import sys
import threading
import types

import modal

app = modal.App("e2e-failures")


class Picky(Exception):
    def __init__(self, code, *, detail):
        super().__init__(f"{code}: {detail}")
        self.code = code


class Restored(Exception):
    def __init__(self, code, *, detail):
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail

    def __reduce__(self):
        return functools.partial(Restored, detail=self.detail), (self.code,)


class Locked(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("it cannot be shown")

    __repr__ = __str__


def only_there():
    module = types.ModuleType("a_module_of_the_container")
    exec("class Odd(Exception):\n    pass\n", module.__dict__)
    sys.modules[module.__name__] = module
    raise module.Odd("from there")


def chained():
    try:
        raise ValueError("the cause of it")
    except ValueError as cause:
        raise RuntimeError("what came of it") from cause


def noted():
    error = ValueError("a plain one")
    error.add_note("with a note")
    raise error


def grouped():
    inner = ExceptionGroup("inner", [KeyError("k")])
    raise ExceptionGroup("several", [ValueError("v"), TypeError("t"), inner])


def tasks():
    async def fail(text):
        raise ValueError(text)

    async def run():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail("one"))
            group.create_task(fail("two"))

    asyncio.run(run())


def raises(error):
    def act():
        raise error()

    return act


def overflow():
    sys.setrecursionlimit(10**7)

    def deeper(value):
        return list(map(deeper, [value]))

    deeper(0)


def deep_result():
    value = []
    for _ in range(200_000):
        value = [value]
    return value


def thread():
    one = threading.Thread(target=raises(lambda: ValueError("of a thread")))
    one.start()
    one.join()
    return "the function is fine"


KINDS = {
    "picky": raises(lambda: Picky(7, detail="why")),
    "restored": raises(lambda: Restored(7, detail="why")),
    "locked": raises(lambda: Locked("it holds a lock")),
    "silent": raises(Silent),
    "only there": only_there,
    "chained": chained,
    "noted": noted,
    "grouped": grouped,
    "tasks": tasks,
    "system exit": lambda: sys.exit("the reason why"),
    "exit 0": lambda: os._exit(0),
    "abort": os.abort,
    "terminate": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "overflow": overflow,
    "deep result": deep_result,
    "thread": thread,
    "timeout": raises(lambda: TimeoutError("its own, not the platform's")),
    "interrupted read": raises(lambda: OSError(4, "Interrupted system call", "/a/file")),
    "unicode": raises(lambda: ValueError("\0 and \x1b[31m and \U0001f9ca")),
}


@app.function()
def act(kind):
    return KINDS[kind]()


@app.function()
async def act_async(kind):
    return KINDS[kind]()


@app.function()
def some_and_then(kind, count):
    yield from range(count)
    KINDS[kind]()


@app.function()
@modal.batched(max_batch_size=3, wait_ms=200)
def batch(kinds: list[str]):
    return [KINDS[kind]() for kind in kinds]


@app.cls()
class Entered:
    how: str = modal.parameter(default="fine")

    @modal.enter()
    def enter(self):
        if self.how == "exit":
            os._exit(5)
        if self.how == "system exit":
            sys.exit(6)
        if self.how == "group":
            grouped()

    @modal.method()
    def ask(self):
        return self.how
