# SPDX-License-Identifier: Apache-2.0
"""Runs become rows; rows become a table with ratios, and the bars they are held against."""
import statistics

LEVELS = ("L0", "L1", "L2", "L3", "L4")
NAMES = {"L0": "warm", "L1": "frozen", "L2": "forked", "L3": "restored", "L4": "booted"}
STAGES = ("queue", "sandbox", "interpreter", "imports", "user_code", "call")


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def row_of(workload, level, runs, system="thaw"):
    """runs: seconds, and where Thaw was used the proof of each."""
    taken = [run["seconds"] * 1e3 for run in runs]
    row = {"workload": workload, "system": system, "level": level, "n": len(taken),
           "p50_ms": round(statistics.median(taken), 2),
           "p99_ms": round(percentile(taken, 0.99), 2), "max_ms": round(max(taken), 2),
           "min_ms": round(min(taken), 2)}
    inits = [run["init"] for run in runs if run.get("init")]
    if inits:
        row["inits"] = sorted(set(inits))
        row["init_runs"] = len(row["inits"])
    if all("right" in run for run in runs):
        row["output_equals_oracle"] = all(run["right"] for run in runs)
    stages = [run["stages"] for run in runs if run.get("stages")]
    if stages:
        row["stages_ms"] = {name: round(statistics.median(values), 2) for name in STAGES
                            if (values := [s[name] for s in stages if s.get(name, -1) >= 0])}
    return row


def find(rows, workload, level, system="thaw"):
    return next((row for row in rows if (row["workload"], row["level"], row["system"]) ==
                 (workload, level, system)), None)


def print_table(rows):
    head = ("workload", "system", "level", "n", "p50 ms", "p99 ms", "max ms", "of L4", "inits",
            "output")
    lines = [head]
    for row in rows:
        booted = find(rows, row["workload"], "L4")
        part = ""
        if booted and row["level"] != "L4":
            part = f"1/{booted['p50_ms'] / row['p50_ms']:.1f}"
        right = row.get("output_equals_oracle")
        level = f"{row['level']} {NAMES[row['level']]}" if row["level"] else ""
        lines.append((row["workload"], row["system"], level, str(row["n"]),
                      f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}", f"{row['max_ms']:.1f}", part,
                      str(row.get("init_runs", "")),
                      "" if right is None else "equal" if right else "DIFFERS"))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        cells = [f"{cell:<{w}}" if i < 3 else f"{cell:>{w}}"
                 for i, (cell, w) in enumerate(zip(line, widths))]
        print("  " + "  ".join(cells).rstrip())


def print_stages(rows):
    print("  medians of the stages, ms: " + ", ".join(STAGES))
    for row in rows:
        if row.get("stages_ms"):
            shown = [f"{row['stages_ms'].get(name, 0):8.1f}" for name in STAGES]
            print(f"  {row['workload']:<28}{row['level']}  " + "".join(shown))


def faster(rows, workload, level, times):
    fast, slow = find(rows, workload, level), find(rows, workload, "L4")
    if not fast or not slow:
        return None
    ratio = slow["p50_ms"] / fast["p50_ms"]
    return ratio >= times, f"{ratio:.1f}x"


def at_most_over(rows, workload, level, base, most_ms):
    one, other = find(rows, workload, level), find(rows, workload, base)
    if not one or not other:
        return None
    over = one["p50_ms"] - other["p50_ms"]
    return over <= most_ms, f"{over:+.2f} ms"


def at_most_times(rows, workload, level, system, times):
    one, other = find(rows, workload, level), find(rows, workload, "", system)
    if not one or not other:
        return None
    ratio = one["p50_ms"] / other["p50_ms"]
    return ratio <= times, f"{ratio:.2f}x"


def at_most(rows, workload, level, most_ms):
    one = find(rows, workload, level)
    return (one["p50_ms"] <= most_ms, f"{one['p50_ms']:.0f} ms") if one else None


# Each with the workload whose rows it needs.
BARS = (
    ("trivial", "trivial: L2 at least 10x faster than L4",
     lambda r: faster(r, "trivial", "L2", 10)),
    ("trivial", "trivial: L1 at most 5 ms over warm",
     lambda r: at_most_over(r, "trivial", "L1", "L0", 5)),
    ("llm-ready", "llm, zero to ready: L3 at least 10x faster than L4",
     lambda r: faster(r, "llm-ready", "L3", 10)),
    ("llm-first-token", "llm, zero to first token: L3 at least 5x faster than L4",
     lambda r: faster(r, "llm-first-token", "L3", 5)),
    ("torch", "torch: L3 at least 10x faster than L4", lambda r: faster(r, "torch", "L3", 10)),
    ("heap300", "heap300: L3 within 1.3x of plain CRIU's restore",
     lambda r: at_most_times(r, "heap300", "L3", "plain criu", 1.3)),
    ("trivial", "zero to 50 containers: L2 in at most 2 s",
     lambda r: at_most(r, "trivial-50-at-once", "L2", 2000)),
)


def proof_fails(row, rows):
    """What the row does not prove; empty if all is well. A level is proved by who ran the user's
    start: a restored process never did, a forked or booted one did anew, a frozen one before."""
    failed = []
    if not row.get("output_equals_oracle"):
        failed.append("an output differs from the oracle, or none was compared")
    if "at_level" in row:
        return failed
    inits, level = set(row.get("inits", [])), row["level"]
    if row["system"] != "thaw" or level == "L3":
        if len(inits) != 1:
            failed.append(f"{len(inits)} starts ran the user's init, not one before all of them")
    elif level in ("L2", "L4"):
        if len(inits) != row["n"]:
            failed.append(f"{row['n']} starts, {len(inits)} of which ran the user's init")
    elif level == "L1":
        warm = find(rows, row["workload"], "L0")
        if not inits or warm is None or not inits <= set(warm["inits"]):
            failed.append("a thawed container is not the one that was warm before")
    return failed


def failures(rows, bars, workloads, absent):
    """All that must not be: [text]. `workloads`: those that were asked for."""
    found = [f"{bar['bar']}: {bar['verdict']} {bar['value']}".rstrip() for bar in bars
             if bar["verdict"] == "MISS" or
             (bar["verdict"] == "not measured" and bar["workload"] in workloads)]
    for row in rows:
        name = f"{row['workload']} {row['level'] or row['system']}"
        found += [f"{name}: {text}" for text in proof_fails(row, rows)]
    for name, levels in workloads.items():
        found += [f"{name} {level}: not measured" for level in levels
                  if find(rows, name, level) is None]
    return found + [f"{what}: {why}" for what, why in absent.items()]


def judge(rows):
    """[(bar, "pass" | "MISS" | "not measured", value)], also printed."""
    found = []
    for workload, bar, test in BARS:
        result = test(rows)
        verdict = "not measured" if result is None else "pass" if result[0] else "MISS"
        found.append({"workload": workload, "bar": bar, "verdict": verdict,
                      "value": result[1] if result else ""})
    width = max(len(one["bar"]) for one in found)
    for one in found:
        print(f"  {one['bar']:<{width}}  {one['value']:>9}  {one['verdict']}")
    return found
