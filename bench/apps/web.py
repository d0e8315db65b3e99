# SPDX-License-Identifier: Apache-2.0
"""The same small web application as an asgi_app and under uvicorn, and what an RPC costs there."""
import subprocess
import sys
import time

import modal

packages = ("fastapi==0.165.0", "uvicorn==0.54.0", "websockets==17.4")
image = modal.Image.debian_slim(python_version="3.11").pip_install(*packages)
app = modal.App("bench-web", image=image)

APPLICATION = r'''
async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})
    elif scope["type"] == "http":
        size = pieces = 0
        more = True
        while more:
            event = await receive()
            size += len(event.get("body", b""))
            pieces += 1
            more = event.get("more_body", False)
        head = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"%d %d" % (size, pieces)})
'''


@app.function(scaledown_window=60)
@modal.concurrent(max_inputs=10)
@modal.asgi_app()
def by_thaw():
    names = {}
    exec(APPLICATION, names)
    return names["application"]


@app.function(scaledown_window=60)
@modal.concurrent(max_inputs=10)
@modal.web_server(8000, startup_timeout=30)
def by_uvicorn():
    run = "\nimport uvicorn\nuvicorn.run(application, host='0.0.0.0', port=8000, access_log=False)"
    subprocess.Popen([sys.executable, "-c", APPLICATION + run])


def times_of_empty_rpcs(count):
    """Seconds that each took."""
    client = modal.Client.from_env()
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        client.hello()
        taken.append(time.perf_counter() - started)
    return taken


@app.function(scaledown_window=60)
def empty_rpcs(count):
    return times_of_empty_rpcs(count)


# As the client comes: without the transport that Thaw puts in a container.
@app.function(scaledown_window=60, secrets=[modal.Secret.from_dict({"THAW_FAST_RPC": "0"})])
def unmodified_empty_rpcs(count):
    return times_of_empty_rpcs(count)
