# SPDX-License-Identifier: Apache-2.0
"""What each of two tenants has, and a function that speaks the protocol from inside a container."""
import asyncio
import os
import time

import modal

TENANT = os.environ.get("TENANT", "nobody")
app = modal.App(f"shop-{TENANT}", image=modal.Image.debian_slim(python_version="3.11"))
key = modal.Secret.from_name(f"key-{TENANT}")
data = modal.Volume.from_name(f"data-{TENANT}")


@app.function(secrets=[key], volumes={"/data": data}, max_containers=1)
def hold(seconds=0):
    with open("/data/private.txt", "w") as file:
        file.write(os.environ["PASSWORD"])
    print(f"holding {os.environ['PASSWORD']}", flush=True)
    time.sleep(seconds)
    return os.environ["PASSWORD"]


async def _ask(asked, patience):
    import grpclib
    import modal_proto.api_grpc
    from grpclib.client import Channel

    answers = []
    channel = Channel(path=os.environ["MODAL_SERVER_URL"].removeprefix("unix://"))
    stub = modal_proto.api_grpc.ModalClientStub(channel)
    for name, request in asked:
        method = getattr(stub, name)
        try:
            reply = await method(method.request_type.FromString(request), timeout=patience)
            parts = reply if isinstance(reply, list) else [reply]
            answers.append(("OK", "", b"".join(part.SerializeToString() for part in parts)))
        except grpclib.GRPCError as error:
            answers.append((error.status.name, error.message, b""))
        except asyncio.TimeoutError:
            answers.append(("TIMEOUT", "", b""))
    channel.close()
    return answers


@app.function(max_containers=1)
def ask(asked, patience=5):
    """Each (RPC, serialised request), by this container's own socket."""
    return asyncio.run(_ask(asked, patience))


@app.function(max_containers=1, experimental_options={"thaw_reach": "workspace"})
def ask_far(asked, patience=5):
    return asyncio.run(_ask(asked, patience))


@app.function(max_containers=1, restrict_modal_access=True)
def ask_walled(asked, patience=5):
    return asyncio.run(_ask(asked, patience))


@app.function(max_containers=1)
def fetch(paths):
    """Plain HTTP by this container's own socket: status and body of each (path, host)."""
    import http.client
    import socket

    answers = []
    for path, host in paths:
        connection = http.client.HTTPConnection("thaw")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(os.environ["MODAL_SERVER_URL"].removeprefix("unix://"))
        connection.request("GET", path, headers={"host": host})
        answer = connection.getresponse()
        answers.append((answer.status, answer.read()))
        connection.close()
    return answers


@app.function(max_containers=1)
@modal.asgi_app()
def site():
    async def answer(scope, receive, send):
        if scope["type"] != "http":
            return
        print("CALL", modal.current_function_call_id(), flush=True)
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if event["type"] != "http.request" or not event.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"genuine: " + body})

    return answer


@app.cls()
class Counter:
    @modal.method()
    def add(self, n):
        return n + 1
