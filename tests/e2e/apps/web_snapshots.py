# SPDX-License-Identifier: Apache-2.0
"""What answers HTTP inside a container, with memory snapshots."""
import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid

import modal

app = modal.App("e2e-web-snapshots", image=modal.Image.debian_slim(python_version="3.11"))
snapshotted = {"enable_memory_snapshot": True, "scaledown_window": 2}

# A server that knows nothing of Modal and tells which process it is.
SERVER = """
import http.server, uuid
born = uuid.uuid4().hex
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(born.encode())
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


def start_server():
    return subprocess.Popen([sys.executable, "-c", SERVER])


def wait_until_it_answers():
    for _ in range(200):
        try:
            return urllib.request.urlopen("http://127.0.0.1:8000/", timeout=5).read()
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server does not answer")


@app.cls(**snapshotted)
class Server:
    """Ready and idle before the snapshot: the server itself is restored."""

    @modal.enter(snap=True)
    def start(self):
        self.process = start_server()
        wait_until_it_answers()

    @modal.web_server(8000)
    def web(self):
        pass


@app.cls(**snapshotted)
class Asgi:
    @modal.enter(snap=True)
    def load(self):
        self.born = uuid.uuid4().hex

    @modal.asgi_app()
    def web(self):
        async def answer(scope, receive, send):
            if scope["type"] != "http":
                return
            body = json.dumps({"born": self.born, "task": os.environ["MODAL_TASK_ID"]}).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

        return answer


@app.function(**snapshotted)
@modal.web_server(8000)
def started_after():
    """What starts its server in the function itself does so after each restore."""
    start_server()
