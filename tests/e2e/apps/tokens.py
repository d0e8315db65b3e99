# SPDX-License-Identifier: Apache-2.0
"""What tokens with few scopes call: two functions, a generator, a class, a page for tokens only."""
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


@app.cls()
class Shop:
    @modal.method()
    def price(self, of):
        return len(of)


@app.function()
@modal.asgi_app(requires_proxy_auth=True)
def page():
    async def answer(scope, receive, send):
        if scope["type"] == "http":
            names = sorted(name.decode() for name, _ in scope["headers"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": " ".join(names).encode()})

    return answer
