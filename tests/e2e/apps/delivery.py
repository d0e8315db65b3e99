# SPDX-License-Identifier: Apache-2.0
"""Streams that are read slowly or not at all, output without end, containers that die."""
import asyncio
import ctypes
import json
import os
import sys

import modal

app = modal.App("e2e-delivery")
tries = modal.Volume.from_name("e2e-delivery-tries", create_if_missing=True)


@app.function(timeout=600)
def endless(size):
    number = 0
    while True:
        yield number, bytes(size)
        number += 1


@app.function()
def some(count, size):
    for number in range(count):
        yield number, os.urandom(8) * (size // 8)


@app.function()
def other(number):
    return number + 1


@app.function()
def lines(count: int, width: int):
    for number in range(count):
        print(f"{number:06d} " + "w" * width)


@app.function()
def one_line(kb: int):
    sys.stdout.write("q" * (kb * 1000) + "END\n")
    sys.stdout.flush()


@app.function(
    volumes={"/v": tries},
    memory=(128, 256),
    retries=modal.Retries(max_retries=2, initial_delay=0, backoff_coefficient=1.0),
)
def dies(kind, key):
    with open(f"/v/{key}", "a") as file:
        file.write("x")
    if kind == "exception":
        raise ValueError("made by the test")
    if kind == "sys.exit":
        raise SystemExit(3)
    if kind == "exit":
        os._exit(3)
    if kind == "segfault":
        ctypes.string_at(0)
    if kind == "memory":
        bytearray(2 << 30)
    if kind == "sigkill":
        os.kill(os.getpid(), 9)


@app.function(volumes={"/v": tries})
def count(key):
    return os.path.getsize(f"/v/{key}")


@app.function(max_containers=1, timeout=300)
@modal.asgi_app()
def uploads():
    seen = []
    piece = {"type": "http.response.body", "body": b"x" * 100, "more_body": True}

    async def answer(send, body):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    async def web(scope, receive, send):
        if scope["path"].endswith("/seen"):
            return await answer(send, seen)
        if scope["path"].endswith("/stream"):
            # As Starlette does: it streams until it hears that nobody listens.
            async def stream():
                await send({"type": "http.response.start", "status": 200, "headers": []})
                while True:
                    await send(dict(piece))
                    await asyncio.sleep(0.02)

            task = asyncio.create_task(stream())
            while (await receive())["type"] != "http.disconnect":
                pass
            task.cancel()
            return seen.append("stream left")
        if scope["path"].endswith("/deaf"):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            try:
                while True:
                    await send(dict(piece))
                    await asyncio.sleep(0.02)
            finally:
                seen.append("deaf cancelled")
        size = 0
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return seen.append(f"left after {size}")
            size += len(event.get("body", b""))
            print("it has", size, flush=True)
            if not event.get("more_body"):
                return await answer(send, size)

    return web


@app.function(max_containers=1)
@modal.asgi_app()
def sockets():
    seen = []

    async def web(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
            return
        if scope["type"] == "lifespan":
            raise NotImplementedError  # the way to say that there is none
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] != "websocket.disconnect":
            pass
        seen.append(event["type"])

    return web


@app.function()
@modal.asgi_app()
def large():
    async def web(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(300):
            await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})

    return web
