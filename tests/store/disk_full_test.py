#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A disk that fills up: writes are refused with resource_exhausted, reads go on, and when there is
room again everything works, without a restart. Needs root, for a small tmpfs of its own.

    disk_full_test.py STORE_TOOL
"""
import os
import subprocess
import sys
import tempfile

SKIPPED = 77


def test(tool, disk):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=True)
    ballast = os.path.join(disk, "ballast")
    with open(ballast, "wb") as file:
        # More than a write-ahead log, which has to be copied before it can shrink.
        file.write(bytes(12 << 20))
    data = os.path.join(disk, "data")
    tool_process = subprocess.Popen([tool, "fill", data], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE)
    facts = []
    for line in tool_process.stdout:
        if line == b"full\n":
            os.unlink(ballast)
            tool_process.stdin.write(b"there is room\n")
            tool_process.stdin.flush()
        else:
            facts.append(line)
    assert tool_process.wait() == 0, tool_process.returncode
    assert facts[-2:] == [b"call fc-full\n", b"log-room\n"], facts[-2:]
    done = subprocess.run([tool, "check", data], input=b"".join(facts), capture_output=True,
                          timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode()
    print(f"{len(facts)} facts, all there after the disk was full")


def main():
    tool = os.path.abspath(sys.argv[1])
    if len(sys.argv) > 2:
        test(tool, sys.argv[2])
        return 0
    if os.geteuid() != 0:
        print("needs root to mount a small disk")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="thaw-full-") as folder:
        # The mount is seen by this child only, and gone with it.
        inside = ["unshare", "--mount", "--propagation", "private", sys.executable, __file__, tool,
                  folder]
        return subprocess.run(inside, timeout=200, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
