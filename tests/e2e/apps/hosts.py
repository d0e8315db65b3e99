# SPDX-License-Identifier: Apache-2.0
"""Web endpoints that say what reached them, without any framework."""
import json
import subprocess
import textwrap

import modal

app = modal.App("e2e-hosts", image=modal.Image.debian_slim(python_version="3.11"))


@app.function(max_containers=1)
@modal.concurrent(max_inputs=20)
@modal.asgi_app()
def echo():
    async def answer(scope, receive, send):
        if scope["type"] != "http":
            return
        headers = [[name.decode(), value.decode()] for name, value in scope["headers"]]
        kept = ("scheme", "path", "root_path", "client", "server")
        seen = {**{name: scope[name] for name in kept}, "headers": headers}
        status, more = 200, []
        pairs = scope["query_string"].decode().split("&")
        query = dict(pair.split("=", 1) for pair in pairs if pair)
        if "to" in query:
            status = 307
            more = [(b"location", bytes.fromhex(query["to"]))]
        body = json.dumps(seen).encode()
        await send({"type": "http.response.start", "status": status, "headers": more})
        await send({"type": "http.response.body", "body": body})

    return answer


@app.function(max_containers=1)
@modal.wsgi_app()
def old_style():
    def answer(environ, start_response):
        start_response("200 OK", [("content-type", "application/json")])
        names = ("wsgi.url_scheme", "REMOTE_ADDR", "HTTP_HOST", "SCRIPT_NAME", "PATH_INFO")
        return [json.dumps({name: environ.get(name) for name in names}).encode()]

    return answer


PROGRAM = """
import http.server, json, urllib.parse

class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = json.dumps({"path": url.path, "headers": self.headers.items()}).encode()
        self.send_response(307 if "to" in query else 200)
        if "to" in query:
            self.send_header("location", bytes.fromhex(query["to"]).decode())
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Echo).serve_forever()
"""


@app.function(max_containers=1)
@modal.concurrent(max_inputs=20)
@modal.web_server(8000)
def program():
    subprocess.Popen(["python", "-c", textwrap.dedent(PROGRAM)])
