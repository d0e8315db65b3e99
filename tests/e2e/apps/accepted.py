# SPDX-License-Identifier: Apache-2.0
"""Work that is under way when its container would rather go."""
import os
import subprocess
import sys
import time

import modal

app = modal.App("e2e-accepted")

# Answers after as many seconds as the path says.
SERVER = r"""
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(float(self.path.strip("/") or 0))
        self.send_response(200)
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"done")
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


@app.function(scaledown_window=2, max_containers=1)
@modal.batched(max_batch_size=8, wait_ms=5000)
def batched(seconds):
    time.sleep(max(seconds))
    return [(os.environ["MODAL_TASK_ID"], len(seconds)) for _ in seconds]


@app.function()
@modal.concurrent(max_inputs=10)
@modal.web_server(8000, startup_timeout=60)
def slow():
    print("serving", os.environ.get("ACCEPTED_VERSION"))
    subprocess.Popen([sys.executable, "-c", SERVER])
