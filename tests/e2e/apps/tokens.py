# SPDX-License-Identifier: Apache-2.0
"""What tokens with few scopes call: functions, a generator, classes, pages for tokens only."""
import time

import modal

app = modal.App("e2e-tokens", image=modal.Image.debian_slim(python_version="3.11"))


@app.function()
def double(x):
    return 2 * x


@app.function()
def secret(x):
    return f"secret {x}"


@app.function()
def count(upto, pause=0.0):
    for number in range(upto):
        yield number
        time.sleep(pause)


@app.cls(secrets=[modal.Secret.from_dict({"OF_SHOP": "1"})])
class Chain:
    town: str = modal.parameter(default="")

    @modal.method()
    def where(self):
        return self.town


@app.cls()
class Shop:
    @modal.method()
    def price(self, of):
        return len(of)


@app.function()
@modal.asgi_app(requires_proxy_auth=True)
def page():
    async def answer(scope, receive, send):
        lines = [f"{name.decode()}: {value.decode()}" for name, value in scope.get("headers", ())]
        text = "\n".join(lines)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": text.encode()})
        elif scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": text})
            await send({"type": "websocket.close", "code": 1000})

    return answer


@app.function()
@modal.web_server(8000, startup_timeout=60, requires_proxy_auth=True)
def port():
    import http.server
    import threading

    class Echo(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            text = "\n".join(f"{name.lower()}: {value}" for name, value in self.headers.items())
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

    serve = http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Echo).serve_forever
    threading.Thread(target=serve, daemon=True).start()
