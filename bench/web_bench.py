# SPDX-License-Identifier: Apache-2.0
"""Web requests to an ASGI application against what they cost under uvicorn and as empty RPCs.

Run by bench/run with the client's Python: web_bench.py OUT.json
"""
import base64
import http.client
import os
import socket
import urllib.parse

from measuring import HERE, row, run_bench, timed

MESSAGES, UPLOADS, ROUNDS = 400, 2, 3
BODY = 60 << 20


class WebSocket:
    """One text message there and back, with as little of its own as there can be."""

    def __init__(self, address):
        url = urllib.parse.urlsplit(address)
        self.socket = socket.create_connection((url.hostname, url.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((
            f"GET {url.path or '/'} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ).encode())  # fmt: skip
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(4096)
        if b" 101 " not in answer:
            raise RuntimeError(answer)
        self.message = bytes((0x81, 0x80 | 4)) + bytes(4) + b"ping"

    def round_trip(self):
        self.socket.sendall(self.message)
        answer = b""
        while len(answer) < 6:
            answer += self.socket.recv(100)
        if answer != b"\x81\x04ping":
            raise RuntimeError(answer)

    def close(self):
        self.socket.close()


def upload(address, body):
    url = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=120)
    connection.request("POST", url.path or "/", body)
    size = int(connection.getresponse().read().split()[0])
    connection.close()
    if size != len(body):
        raise RuntimeError(f"{size} bytes of {len(body)} arrived")


def measure(server):
    import modal

    def address_of(name):
        return modal.Function.from_name("bench-web", name).get_web_url()

    ours, theirs = address_of("by_thaw"), address_of("by_uvicorn")
    upload(ours, b"x")
    upload(theirs, b"x")
    direct = f"http://{server.container_address('uvicorn.run')}:8000/"
    rpcs = [modal.Function.from_name("bench-web", name)
            for name in ("empty_rpcs", "unmodified_empty_rpcs")]  # fmt: skip
    for function in rpcs:
        function.remote(10)
    sockets = [WebSocket(address) for address in (ours, theirs, direct)]
    trips, uploads, empty = [[], [], []], [[], [], []], [[], []]
    body = os.urandom(1 << 20) * (BODY >> 20)
    # By turns, so that a noisy neighbour hits all.
    for _ in range(ROUNDS):
        for function, taken in zip(rpcs, empty):
            taken += function.remote(MESSAGES)
        for one, taken in zip(sockets, trips):
            taken += timed(one.round_trip, MESSAGES)
    for one in sockets:
        one.close()
    for _ in range(ROUNDS):
        for address, taken in zip((ours, theirs, direct), uploads):
            taken += timed(lambda: upload(address, body), UPLOADS)
    return [row("empty RPC of a container's client, on Thaw's transport", empty[0], "us",
                baseline=empty[1]),
            row("WebSocket message there and back, asgi_app : that RPC", trips[0], "us",
                baseline=empty[0]),
            row("  the same : the client's RPC on its own transport", trips[0], "us",
                baseline=empty[1]),
            row("  the same, web_server : uvicorn directly", trips[1], "us", baseline=trips[2]),
            row("  the same, uvicorn directly : that RPC", trips[2], "us", baseline=empty[0]),
            row("upload of 60 MiB, asgi_app : uvicorn", uploads[0], baseline=uploads[2]),
            row("  the same, web_server", uploads[1], baseline=uploads[2])]


if __name__ == "__main__":
    run_bench(measure, HERE / "apps/web.py")
