# SPDX-License-Identifier: Apache-2.0
"""Servers that take their time to answer or to start, or too much of it."""
import subprocess
import sys
import time

import modal

app = modal.App("e2e-ports")

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


@app.function()
@modal.concurrent(max_inputs=10)
@modal.web_server(8000, startup_timeout=60)
def patient():
    subprocess.Popen([sys.executable, "-c", SERVER])


@app.function(timeout=2)
@modal.concurrent(max_inputs=10)
@modal.web_server(8000, startup_timeout=60)
def limited():
    subprocess.Popen([sys.executable, "-c", SERVER])


@app.function(max_containers=1)
@modal.web_server(8000, startup_timeout=300)
def slow_to_start():
    time.sleep(300)
