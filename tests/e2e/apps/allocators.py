# SPDX-License-Identifier: Apache-2.0
"""Programs whose memory allocators give memory back, restored from a memory snapshot."""
import ctypes
import os
import pathlib
import random
import subprocess
import threading

import modal

app = modal.App("e2e-allocators")
image = modal.Image.debian_slim().run_commands(
    "mkdir -p /usr/share/man/man1",  # which slim images lack and a JRE's installation wants
    "apt-get update && apt-get install -y --no-install-recommends"
    " libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4 nodejs rhino",
)
snapshotted = {"enable_memory_snapshot": True, "scaledown_window": 2, "timeout": 200}
SIZES = [48, 700, 5000, 33_000, 140_000, 400_000, 2_000_000]
ZEROED = {size: bytes(size) for size in SIZES}
WRITTEN = {size: b"\xab" * size for size in SIZES}


def with_allocator(library, **settings):
    return image.env({"LD_PRELOAD": library, **settings})


class Memory:
    """Allocates and frees, much and of all sizes, and looks at what it gets: what calloc gives must
    be zero, and what was written must be there."""

    def __init__(self):
        self.libc = libc = ctypes.CDLL(None)
        libc.malloc.restype = libc.calloc.restype = ctypes.c_void_p
        libc.malloc.argtypes, libc.calloc.argtypes = [ctypes.c_size_t], [ctypes.c_size_t] * 2
        libc.free.argtypes = [ctypes.c_void_p]
        self.kept = [self.take(40) for _ in range(3)]
        self.give(self.take(80))

    def take(self, count, zeroed=False):
        blocks = []
        for _ in range(count):
            size = random.choice(SIZES)
            block = self.libc.calloc(1, size) if zeroed else self.libc.malloc(size)
            if zeroed and ctypes.string_at(block, size) != ZEROED[size]:
                raise RuntimeError(f"calloc({size}) is not zero")
            ctypes.memset(block, 0xAB, size)
            blocks.append((block, size))
        return blocks

    def give(self, blocks):
        random.shuffle(blocks)
        for block, size in blocks:
            if ctypes.string_at(block, size) != WRITTEN[size]:
                raise RuntimeError("what was written is not there any more")
            self.libc.free(block)

    def work(self, index, rounds):
        for _ in range(rounds):
            fresh = self.take(25)
            self.give(self.kept[index])
            if hasattr(self.libc, "malloc_trim"):
                self.libc.malloc_trim(0)
            self.give(self.take(40, zeroed=True))
            self.kept[index] = fresh

    def churn(self, rounds):
        """In several threads, each of which has an arena where allocators have some."""
        failures = []

        def work(index):
            try:
                self.work(index, rounds)
            except RuntimeError as error:
                failures.append(str(error))

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(self.kept))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return failures


def mapped(pid="self"):
    """Whether the memory of a process is mapped from a snapshot."""
    return "/pages-" in pathlib.Path(f"/proc/{pid}/maps").read_text()


class Churning:
    @modal.enter(snap=True)
    def fill(self):
        self.memory = Memory()

    @modal.method()
    def churn(self, rounds):
        library = os.environ.get("LD_PRELOAD", "libc.so")
        used = library in pathlib.Path("/proc/self/maps").read_text()
        return mapped(), self.memory.churn(rounds) if used else [f"no {library}"]


@app.cls(image=image, **snapshotted)
class Glibc(Churning):
    pass


@app.cls(image=with_allocator("libjemalloc.so.2",
                              MALLOC_CONF="dirty_decay_ms:0,muzzy_decay_ms:0"), **snapshotted)
class Jemalloc(Churning):
    pass


@app.cls(image=with_allocator("libmimalloc.so.2", MIMALLOC_PURGE_DELAY="0",
                              MIMALLOC_RESET_DELAY="0"), **snapshotted)
class Mimalloc(Churning):
    pass


@app.cls(image=with_allocator("libtcmalloc_minimal.so.4", TCMALLOC_RELEASE_RATE="1000000",
                              TCMALLOC_AGGRESSIVE_DECOMMIT="1"), **snapshotted)
class Tcmalloc(Churning):
    pass


# The same for garbage collectors, in processes of their own.
RHINO = r"""
importPackage(java.lang, java.io, java.util)
var input = new BufferedReader(new InputStreamReader(java.lang.System["in"]))
var random = new Random(7)
function take(count) {
  var blocks = new ArrayList()
  for (var i = 0; i < count; i++) {
    var size = 1000 + random.nextInt(800000)
    var block = java.lang.reflect.Array.newInstance(java.lang.Byte.TYPE, size)
    if (block[random.nextInt(block.length)] != 0) throw "a new array is not zero"
    Arrays.fill(block, 65)
    blocks.add(block)
  }
  return blocks
}
function check(blocks) {
  for (var i = 0; i < blocks.size(); i++)
    if (blocks.get(i)[random.nextInt(blocks.get(i).length)] != 65) throw "not what was written"
}
var kept = take(30)
take(30)
System.out.println("ready")
for (var line; (line = input.readLine()) != null;) {
  for (var round = 0; round < line; round++) { check(kept); kept = take(30); System.gc() }
  System.out.println("ok")
}
"""
NODE = r"""
const v8 = require('v8'); v8.setFlagsFromString('--expose-gc')
const gc = require('vm').runInNewContext('gc')
const one = (_, i) => ({i, text: 'x'.repeat(i % 500), list: [i, i + 1]})
const take = n => Array.from({length: n}, one)
let kept = take(60000); take(60000)
require('readline').createInterface({input: process.stdin}).on('line', line => {
  for (let round = 0; round < +line; round++) {
    if (!kept.every((one, i) => one.i === i && one.list[1] === i + 1)) process.exit(3)
    kept = take(60000); gc()
  }
  console.log('ok')
})
console.log('ready')
"""


def script(name, text):
    path = pathlib.Path("/tmp", name)
    path.write_text(text)
    return str(path)


class Collecting:
    """Talks with a program by its pipes, which are in the snapshot too."""

    @modal.enter(snap=True)
    def start(self):
        self.program = subprocess.Popen(self.command(), text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        assert self.program.stdout.readline() == "ready\n"

    @modal.method()
    def churn(self, rounds):
        was_mapped = mapped() and mapped(self.program.pid)
        self.program.stdin.write(f"{rounds}\n")
        self.program.stdin.flush()
        said = self.program.stdout.readline()
        return was_mapped, [] if said == "ok\n" else [f"ended: {self.program.wait()}"]


@app.cls(image=image, **snapshotted)
class Jvm(Collecting):
    def command(self):
        return ["rhino", "-opt", "-1", script("churn.js", RHINO)]


@app.cls(image=image, **snapshotted)
class Node(Collecting):
    def command(self):
        return ["nodejs", script("churn.cjs", NODE)]
