#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 through net/ against a plain Beast echo, TLS against plain, and proxy() against asking
the server directly and against nginx as a proxy.

    net_http_bench.py OUT.json

nginx is Debian's; where it is not installed its package is unpacked into build/bench (apt-get
download), and where that fails its row is left out, with the reason.

Rounds of the two alternate, so that what else the machine does meets both. Latencies are medians of
the rounds' percentiles; "cpu" is what one request costs the server, from its scheduler statistics.
"""
import json
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

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


NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream server {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://server; proxy_http_version 1.1;
                  proxy_set_header Connection ""; proxy_set_header Host $http_host;
                  proxy_set_header X-Forwarded-For $remote_addr; }}
  }}
}}
"""


def nginx_program():
    """Its path; unpacked below build/bench where it is not installed."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    folder = BUILD.parent / "bench" / "nginx"
    if not found and not (folder / "usr/sbin/nginx").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "nginx"], cwd=folder, check=True,
                       stdout=sys.stderr, stderr=subprocess.DEVNULL)
        subprocess.run(["dpkg", "-x", next(folder.glob("nginx_*.deb")), folder], check=True)
    return found or folder / "usr/sbin/nginx"


class Nginx:
    """One worker, which keeps its connections on both sides: what Thaw's one loop is as well."""

    def __init__(self, upstream):
        program = nginx_program()
        self.folder = tempfile.TemporaryDirectory(prefix="thaw-bench-nginx-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = pathlib.Path(self.folder.name, "nginx.conf")
        settings.write_text(NGINX.format(folder=self.folder.name, port=self.port,
                                         upstream=upstream))
        self.process = subprocess.Popen([program, "-p", self.folder.name, "-c", settings,
                                         "-e", "stderr"])
        limit = time.monotonic() + 10
        while time.monotonic() < limit:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("nginx does not listen")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.folder.cleanup()


def requests_per_second(port, connections, target):
    out = subprocess.run([BUILD / "net_http_load", str(port), str(connections), str(SECONDS),
                          target, "0"], check=True, stdout=subprocess.PIPE)
    result = json.loads(out.stdout)
    return result["calls"] / result["seconds"]


def compare_proxies(thaw, plain, connections):
    """Requests a second: a ratio above 1 is the better side."""
    try:
        nginx = Nginx(plain.port)
    except (OSError, RuntimeError, StopIteration, subprocess.SubprocessError) as error:
        print(f"net_http_bench: no row for nginx: {error}", file=sys.stderr)
        return []
    rounds = [[requests_per_second(thaw.port, connections, "/tcp/hello"),
               requests_per_second(nginx.port, connections, "/hello"),
               requests_per_second(plain.port, connections, "/hello")] for _ in range(ROUNDS)]
    nginx.stop()
    ours, theirs, direct = (statistics.median(side) for side in zip(*rounds))
    of = f"requests/s, {connections} connections"
    return [
        {"what": f"{of}, proxied : nginx", "unit": "1/s", "p50": round(ours),
         "baseline": round(theirs),
         "ratio": round(statistics.median(one[0] / one[1] for one in rounds), 2)},
        {"what": f"{of}, proxied : direct", "unit": "1/s", "p50": round(ours),
         "baseline": round(direct),
         "ratio": round(statistics.median(one[0] / one[2] for one in rounds), 2)},
    ]


def load(server, connections, target, body):
    """A target that begins with "tls:" is asked for over TLS."""
    before = server.cpu_ns()
    over_tls = ["tls"] if target.startswith("tls:") else []
    out = subprocess.run([BUILD / "net_http_load", str(server.port), str(connections),
                          str(SECONDS), target.removeprefix("tls:"), str(body), *over_tls],
                         check=True, stdout=subprocess.PIPE)
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
    folder = tempfile.TemporaryDirectory(prefix="thaw-bench-tls-")
    thaw = Server("http_echo_server", "--upstream", str(plain.port), "--tls", folder.name)
    rows = []
    for connections in (1, 64):
        of = f"{connections} connection" + ("s" if connections > 1 else "")
        rows += compare(f"GET, {of}, net/ : Beast", thaw, plain, connections,
                        ("/hello", "/hello"), 0)
        rows += compare(f"POST 1 KiB, {of}, net/ : Beast", thaw, plain, connections,
                        ("/echo", "/echo"), 1024)
        rows += compare(f"GET, {of}, proxied : direct", thaw, plain, connections,
                        ("/tcp/hello", "/hello"), 0)
        rows += compare(f"GET, {of}, TLS : plain", thaw, thaw, connections,
                        ("tls:/hello", "/hello"), 0)
    rows += compare("POST 1 MiB, 1 connection, TLS : plain", thaw, thaw, 1,
                    ("tls:/echo", "/echo"), 1 << 20)
    rows += compare("POST 1 MiB, 1 connection, proxied : direct", thaw, plain, 1,
                    ("/tcp/echo", "/echo"), 1 << 20)
    rows += compare_proxies(thaw, plain, 64)
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
