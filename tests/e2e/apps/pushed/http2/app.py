# SPDX-License-Identifier: Apache-2.0
"""What an application sees of its requests, by hypercorn, which speaks HTTP/2 without TLS too."""
import json


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more and scope["path"] != "/echo":
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/echo":
        while more:
            event = await receive()
            more = event.get("more_body", False)
            await send({"type": "http.response.body", "body": event.get("body", b""),
                        "more_body": True})
        return await send({"type": "http.response.body"})
    told = {"path": scope["path"], "query": scope["query_string"].decode(), "bytes": len(body),
            "method": scope["method"], "version": scope["http_version"],
            "headers": {name.decode(): value.decode() for name, value in scope["headers"]}}
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
