# SPDX-License-Identifier: Apache-2.0
"""Whether a map without settings is about as fast as with the best number of containers.

Run by bench/run with the client's Python: map_bench.py OUT.json. All in one run and by turns, so
that a noisy machine is noisy for all; what is judged is the ratio to the best of the settings.
"""
import signal
import threading
import time

from measuring import HERE, run_bench

LIMITS = ("1", "2", "4")
TRIVIAL_INPUTS, COSTLY_INPUTS, SLEEPERS = 3000, 60, 200
MORE_ROUNDS = 2
ENOUGH_S = 170  # no further rounds: all of it is to take less than four minutes
TOO_LONG_S = 300  # something hangs


def run_map(name, inputs):
    import modal

    function = modal.Function.from_name("bench-maps", name)
    started = time.perf_counter()
    tasks = list(function.map(range(inputs)))
    taken = time.perf_counter() - started
    if len(tasks) != inputs:
        raise RuntimeError(f"{name}: {len(tasks)} answers of {inputs}")
    return taken, len(set(tasks))


def line(what, taken, containers, baseline=None):
    row = {"what": f"{what} ({containers} containers)", "unit": "s", "p50": round(taken, 2)}
    if baseline:
        row |= {"baseline": round(baseline, 2), "ratio": round(taken / baseline, 2)}
    return row


def compare(server, kind, inputs, began):
    """Each from zero; then the row without a limit against the best limit, by turns."""
    best = {}

    def measure_one(name):
        server.wait_for_zero_of(kind)
        result = run_map(name, inputs)
        best[name] = min(best.get(name, result), result)

    limited = [f"{kind}_{limit}" for limit in LIMITS]
    for name in (kind, *limited):
        measure_one(name)
    rival = min(limited, key=lambda name: best[name])
    for _ in range(MORE_ROUNDS):
        if time.monotonic() - began < ENOUGH_S:
            measure_one(kind)
            measure_one(rival)
    rows = [line(f"{inputs} {kind}, max_containers={limit}", *best[f"{kind}_{limit}"])
            for limit in LIMITS]
    baseline = min(best[name][0] for name in limited)
    return [*rows, line(f"{inputs} {kind}, no limit, against the best", *best[kind], baseline)]


def sleepers():
    first = line(f"{SLEEPERS} calls of 1 s of sleep, never called before",
                 *run_map("sleeps", SLEEPERS))
    again = line("  once more", *run_map("sleeps", SLEEPERS))
    return [first, again]


def mix():
    """A map that waits beside one that computes; each against itself alone, just before."""
    alone = {"sleeps_too": run_map("sleeps_too", SLEEPERS), "costly": run_map("costly", 60)}
    together = {}

    def run(name, inputs):
        together[name] = run_map(name, inputs)

    threads = [threading.Thread(target=run, args=arguments)
               for arguments in (("sleeps_too", SLEEPERS), ("costly", 60))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [line(f"{name}, beside the other", *together[name], alone[name][0])
            for name in together]


def give_up(_signal, _frame):
    raise TimeoutError(f"the maps have not ended in {TOO_LONG_S} s")


def measure(server):
    began = time.monotonic()
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(TOO_LONG_S)
    rows = sleepers()
    rows += compare(server, "costly", COSTLY_INPUTS, began)
    rows += mix()
    return rows + compare(server, "trivial", TRIVIAL_INPUTS, began)


if __name__ == "__main__":
    run_bench(measure, HERE / "apps/maps.py")
