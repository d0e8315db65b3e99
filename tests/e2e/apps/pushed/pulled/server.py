# SPDX-License-Identifier: Apache-2.0
"""Says what is in the image that it runs on."""
import http.server
import os


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("/marker") as file:
            text = file.read() + os.environ["E2E_OF_THE_IMAGE"]
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
