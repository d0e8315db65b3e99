# SPDX-License-Identifier: Apache-2.0
"""Web endpoints of each type."""
import hashlib
import json
import os
import subprocess
import time

import modal

image = modal.Image.debian_slim(python_version="3.11").pip_install("fastapi==0.165.0")
app = modal.App("e2e-web", image=image)


@app.function()
@modal.fastapi_endpoint()
def hello(name: str = "world"):
    return {"hello": name, "task": os.environ["MODAL_TASK_ID"]}


@app.function()
@modal.fastapi_endpoint(method="POST", docs=True)
def total(body: dict):
    print(f"adding {body['numbers']}")
    return {"total": sum(body["numbers"])}


@app.function()
@modal.fastapi_endpoint()
def broken():
    raise RuntimeError("broken on purpose")


@app.function()
@modal.asgi_app(requires_proxy_auth=True)
def locked():
    from fastapi import FastAPI, Request

    web = FastAPI()

    @web.get("/")
    async def headers(request: Request):
        return sorted(request.headers)

    return web


@app.function()
@modal.web_server(8000, startup_timeout=60, requires_proxy_auth=True)
def locked_files():
    subprocess.Popen(["python", "-m", "http.server", "8000", "--directory", "/usr/share"])


SEEN = []


@app.function(max_containers=1)
@modal.fastapi_endpoint()
def one_at_a_time(name: str, seconds: float = 0):
    SEEN.append(name)
    time.sleep(seconds)
    return {"seen": SEEN}


@app.function()
@modal.wsgi_app()
def old_style():
    def web(environ, start_response):
        if environ["PATH_INFO"].endswith("/environ"):
            start_response("200 OK", [("content-type", "application/json")])
            shown = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
            return [json.dumps(shown).encode()]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("201 Created", [("content-type", "text/plain"), ("x-seen", "wsgi")])
        words = [environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]]
        return [" ".join(words).encode(), b"\n", body]

    return web


@app.function()
@modal.concurrent(max_inputs=20)
@modal.asgi_app()
def api():
    import asyncio

    from fastapi import FastAPI, Request, WebSocket
    from fastapi.responses import RedirectResponse, StreamingResponse

    web = FastAPI()

    @web.get("/stream")
    async def stream(count: int = 5, pause: float = 0.3):
        async def lines():
            for number in range(count):
                yield f"{number} {time.time()}\n"
                await asyncio.sleep(pause)

        return StreamingResponse(lines(), media_type="text/plain")

    @web.post("/echo/{rest:path}")
    async def echo(rest: str, request: Request):
        body = await request.body()
        return {
            "path": rest,
            "query": dict(request.query_params),
            "length": len(body),
            "header": request.headers.get("x-test"),
            "cookie": request.cookies.get("taste"),
        }

    @web.post("/pieces")
    async def pieces(request: Request, pause: float = 0, most: int = 1_000_000):
        digest, sizes = hashlib.sha256(), []
        async for piece in request.stream():
            digest.update(piece)
            sizes.append(len(piece))
            if len(sizes) == most:
                break
            await asyncio.sleep(pause)
        return {"sizes": sizes, "sha256": digest.hexdigest()}

    @web.get("/large")
    async def large(size: int):
        return StreamingResponse(iter([bytes(65536)] * (size // 65536)), media_type="application/x")

    @web.get("/where")
    async def where(request: Request):
        return {"url": str(request.url), "url_for": str(request.url_for("where"))}

    @web.get("/elsewhere")
    async def elsewhere(to: str):
        return RedirectResponse(to)

    inner = FastAPI()

    @inner.get("/")
    @inner.get("/deep/{rest:path}")
    async def mounted(rest: str = "top"):
        return {"mounted": rest}

    web.mount("/inner", inner)

    @web.websocket("/talk")
    async def talk(socket: WebSocket):
        await socket.accept()
        while True:
            text = await socket.receive_text()
            if text == "bye":
                await socket.close(1000)
                return
            await socket.send_text(text[::-1])

    return web


@app.function()
@modal.asgi_app()
def unframed():
    """What no framework would send."""

    async def web(scope, receive, send):
        lengths = [(b"content-length", b"5"), (b"content-length", b"7")]
        if scope["path"].endswith("/two-lengths"):
            await send({"type": "http.response.start", "status": 200, "headers": lengths})
        await send({"type": "http.response.body", "body": b"hello"})

    return web


@app.function()
@modal.concurrent(max_inputs=10)
@modal.web_server(8000, startup_timeout=60)
def files():
    os.makedirs("/srv/www", exist_ok=True)
    with open("/srv/www/index.html", "w") as page:
        page.write("<p>served by a program of its own</p>")
    subprocess.Popen(["python", "-m", "http.server", "8000", "--directory", "/srv/www"])


@app.function()
@modal.web_server(8000, startup_timeout=1)
def never_listens():
    pass


@app.cls()
class Greeter:
    name: str = modal.parameter()
    times: int = modal.parameter(default=1)

    @modal.fastapi_endpoint()
    def greet(self):
        return {"greeting": f"hello {self.name}" * self.times}


@app.cls()
class Model:
    @modal.enter()
    def load(self):
        self.loaded_at = time.time()

    @modal.fastapi_endpoint()
    def loaded(self):
        return {"loaded_at": self.loaded_at}
