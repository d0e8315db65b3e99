#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills a writing process with -9 at random moments; what it was told is stored must be there.

    kill_test.py STORE_TOOL [SEED]
"""
import os
import random
import subprocess
import sys
import tempfile

ROUNDS = 20


def kill_one(tool, data, number, moment):
    """Runs the writer until `moment` facts were read; returns all that it acknowledged."""
    writer = subprocess.Popen([tool, "write", data, str(number)], stdout=subprocess.PIPE)
    facts = []
    for line in writer.stdout:
        facts.append(line)
        if number == 0 and len(facts) == 10:
            second_is_refused(tool, data, writer.pid)
        if len(facts) >= moment:
            writer.kill()
            break
    facts.extend(writer.stdout)
    writer.stdout.close()
    assert writer.wait() == -9, f"the writer ended by itself: {writer.returncode}"
    if facts and not facts[-1].endswith(b"\n"):
        facts.pop()
    return facts


def second_is_refused(tool, data, owner):
    second = subprocess.run([tool, "write", data, "second"], capture_output=True, text=True,
                            timeout=60, check=False)
    assert second.returncode == 1, second
    assert f"pid {owner}" in second.stderr, second.stderr


def check(tool, data, facts):
    done = subprocess.run([tool, "check", data], input=b"".join(facts), capture_output=True,
                          timeout=250, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == f"checked {len(facts)}\n".encode(), done.stdout


def main():
    tool = os.path.abspath(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"seed {seed}: {sys.argv[0]} {sys.argv[1]} {seed}")
    dice = random.Random(seed)
    facts = []
    with tempfile.TemporaryDirectory(prefix="thaw-kill-") as folder:
        data = os.path.join(folder, "data")
        for number in range(ROUNDS):
            new = kill_one(tool, data, number, dice.randrange(20, 1500))
            facts.extend(new)
            # The newest at once, everything at the end.
            check(tool, data, new)
        check(tool, data, facts)
    kinds = sorted({fact.split()[0].decode() for fact in facts})
    print(f"{ROUNDS} kills, {len(facts)} facts of the kinds {', '.join(kinds)}: all there")
    assert kinds == ["blob", "call", "done", "log", "piece", "ready", "row"], kinds


if __name__ == "__main__":
    main()
