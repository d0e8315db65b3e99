# SPDX-License-Identifier: Apache-2.0
"""Functions that are called as hard as programs in the wild do it."""
import hashlib
import subprocess

import modal

app = modal.App("e2e-hard")
seen = modal.Dict.from_name("e2e-hard-seen", create_if_missing=True)


@app.function()
@modal.concurrent(max_inputs=20)
async def odd_only(number):
    if number % 10 == 0:
        raise ValueError(f"{number} is a multiple of ten")
    return number * 2


@app.function()
@modal.concurrent(max_inputs=20)
async def add(left, right, *, scale=1, **others):
    return (left + right) * scale, sum(others.values())


@app.function()
@modal.concurrent(max_inputs=20)
async def note(number):
    await seen.put.aio(number, True)
    if number == 7:
        raise KeyError(number)


@app.function(memory=(128, 2048))
def turned(data: bytes):
    return data[::-1]


@app.function(memory=(128, 2048))
def pieces(count: int, size: int):
    for number in range(count):
        yield bytes([number]) * size


class Heavy(Exception):
    pass


@app.function(memory=(128, 1024))
def fail_heavily(size: int):
    raise Heavy("x" * size)


@app.function(max_containers=1, memory=(128, 512), timeout=900)
@modal.asgi_app()
def uploads():
    async def web(scope, receive, send):
        if scope["type"] != "http":
            return
        digest, size = hashlib.sha256(), 0
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            digest.update(event.get("body", b""))
            size += len(event.get("body", b""))
            if not event.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        answer = f"{size} {digest.hexdigest()}".encode()
        await send({"type": "http.response.body", "body": answer})

    return web


@app.function(max_containers=1, memory=(128, 512), timeout=900)
@modal.asgi_app()
def downloads():
    async def web(scope, receive, send):
        if scope["type"] != "http":
            return
        megabytes = int(scope["query_string"] or b"1")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(megabytes):
            body = bytes([number % 256]) * (1 << 20)
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return web


SERVER = """
import hashlib, http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def pieces(self):
        if "Content-Length" in self.headers:
            left = int(self.headers["Content-Length"])
            while left:
                piece = self.rfile.read(min(left, 1 << 16))
                left -= len(piece)
                yield piece
        else:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
    def do_POST(self):
        digest, size = hashlib.sha256(), 0
        for piece in self.pieces():
            digest.update(piece)
            size += len(piece)
        body = f"{size} {digest.hexdigest()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


@app.function(max_containers=1, memory=(128, 512), timeout=900)
@modal.web_server(8000, startup_timeout=60)
def program():
    subprocess.Popen(["python", "-c", SERVER])
