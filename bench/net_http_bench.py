#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 through net/ against a plain Beast echo, and proxy() against asking the server directly.

    net_http_bench.py OUT.json

Rounds of the two alternate, so that what else the machine does meets both. Latencies are medians of
the rounds' percentiles; "cpu" is what one request costs the server, from its scheduler statistics.
"""
import json
import pathlib
import statistics
import subprocess
import sys

BUILD = pathlib.Path(__file__).resolve().parent.parent / "build/release"
ROUNDS, SECONDS = 7, 0.7


class Server:
    def __init__(self, program, *arguments):
        self.process = subprocess.Popen([BUILD / program, *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def cpu_ns(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0])

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)


def load(server, connections, target, body):
    before = server.cpu_ns()
    out = subprocess.run([BUILD / "net_http_load", str(server.port), str(connections),
                          str(SECONDS), target, str(body)], check=True, stdout=subprocess.PIPE)
    result = json.loads(out.stdout)
    result["cpu_us"] = (server.cpu_ns() - before) / 1e3 / max(1, result["calls"])
    return result


def compare(what, measured, baseline, connections, targets, body):
    """One row for latency and one for the server's CPU."""
    pairs = []
    for _ in range(ROUNDS):
        pairs.append((load(measured, connections, targets[0], body),
                      load(baseline, connections, targets[1], body)))

    def median(side, key):
        return statistics.median(pair[side][key] for pair in pairs)

    def ratio(key):
        return round(statistics.median(one[key] / other[key] for one, other in pairs), 2)

    return [
        {"what": f"{what}: latency", "unit": "us", "p50": round(median(0, "p50_us"), 1),
         "p99": round(median(0, "p99_us"), 1), "baseline": round(median(1, "p50_us"), 1),
         "ratio": ratio("p50_us"),
         "added_us": round(median(0, "p50_us") - median(1, "p50_us"), 1)},
        {"what": f"{what}: server cpu", "unit": "us", "p50": round(median(0, "cpu_us"), 1),
         "baseline": round(median(1, "cpu_us"), 1), "ratio": ratio("cpu_us")},
    ]


def main():
    plain = Server("net_plain_http_echo")
    thaw = Server("http_echo_server", "--upstream", str(plain.port))
    rows = []
    for connections in (1, 64):
        of = f"{connections} connection" + ("s" if connections > 1 else "")
        rows += compare(f"GET, {of}, net/ : Beast", thaw, plain, connections,
                        ("/hello", "/hello"), 0)
        rows += compare(f"POST 1 KiB, {of}, net/ : Beast", thaw, plain, connections,
                        ("/echo", "/echo"), 1024)
        rows += compare(f"GET, {of}, proxied : direct", thaw, plain, connections,
                        ("/tcp/hello", "/hello"), 0)
    rows += compare("POST 1 MiB, 1 connection, proxied : direct", thaw, plain, 1,
                    ("/tcp/echo", "/echo"), 1 << 20)
    thaw.stop()
    plain.stop()
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/bench/net_http.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"rows": rows}, indent=1))
    for row in rows if len(sys.argv) < 2 else ():  # bench/run prints a table of its own
        print(f"{row['what']:<55} p50 {row['p50']:>8} baseline {row['baseline']:>8} "
              f"ratio {row['ratio']}  added {row.get('added_us', '-')}")


if __name__ == "__main__":
    main()
