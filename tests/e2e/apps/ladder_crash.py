# SPDX-License-Identifier: Apache-2.0
"""Functions that are asked while something of the platform dies, hangs or freezes."""
import http.server
import os
import threading
import time

import modal

app = modal.App("e2e-ladder-crash")
snapshotted = {"enable_memory_snapshot": True, "scaledown_window": 2}


def answer(**more):
    return {"task": os.environ["MODAL_TASK_ID"], **more}


@app.function(**snapshotted)
def wait(seconds=0.0):
    time.sleep(seconds)
    return answer()


@app.cls(**snapshotted)
class Heavy:
    """Enough memory that writing and reading it takes a moment."""

    @modal.enter(snap=True)
    def load(self):
        self.memory = os.urandom(1 << 20) * 64

    @modal.method()
    def use(self, number):
        return answer(number=number, same=self.memory[: 1 << 20] == self.memory[-(1 << 20) :])


@app.function(scaledown_window=2)
def plain(number=0):
    return answer(number=number)


@app.function(enable_memory_snapshot=True, scaledown_window=20, max_containers=1)
def generate(count, pause):
    for number in range(count):
        time.sleep(pause)
        yield answer(number=number)


@app.function(scaledown_window=60, max_containers=1)
@modal.web_server(8000, startup_timeout=60)
def stream():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            for _ in range(5):
                time.sleep(0.4)
                self.wfile.write(f"{os.environ['MODAL_TASK_ID']}\n".encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
