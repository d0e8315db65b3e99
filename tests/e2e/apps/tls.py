# SPDX-License-Identifier: Apache-2.0
"""What is asked over TLS: a function with large arguments, and an application that tells how."""
import json
import socket
import threading
import time

import modal

app = modal.App("e2e-tls", image=modal.Image.debian_slim(python_version="3.11"))


def echo(listener):
    while True:
        peer, _ = listener.accept()
        with peer:
            while piece := peer.recv(65536):
                peer.sendall(piece)


@app.function()
def forwards(seconds):
    places = modal.Dict.from_name("e2e-tls", create_if_missing=True)
    listener = socket.create_server(("0.0.0.0", 0))
    threading.Thread(target=echo, args=(listener,), daemon=True).start()
    with modal.forward(listener.getsockname()[1]) as tunnel:
        places["tunnel"] = (tunnel.url, tunnel.tls_socket)
        time.sleep(seconds)


@app.function()
def turn(data: bytes):
    return data[::-1]


@app.function(max_containers=1)
@modal.concurrent(max_inputs=20)
@modal.asgi_app()
def tell():
    async def echo_messages(receive, send):
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            if message["type"] == "websocket.receive":
                await send({"type": "websocket.send", "bytes": message["bytes"]})

    async def answer(scope, receive, send):
        if scope["type"] == "websocket":
            return await echo_messages(receive, send)
        if scope["type"] != "http":
            return None
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        headers = [[name.decode(), value.decode()] for name, value in scope["headers"]]
        seen = {"scheme": scope["scheme"], "size": size, "headers": headers}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
        return None

    return answer
