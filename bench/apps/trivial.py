# SPDX-License-Identifier: Apache-2.0
"""The least that a function, a web endpoint and a web server can do."""
import subprocess
import sys
import time

import modal

image = modal.Image.debian_slim(python_version="3.11").pip_install("fastapi==0.165.0")
app = modal.App("bench-trivial", image=image)

# A server that answers a keep-alive connection with the same few bytes, as fast as Python can.
SERVER = r'''
import asyncio
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(BODY)
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    async with await asyncio.start_server(serve, "0.0.0.0", 8000) as server:
        await server.serve_forever()
asyncio.run(main())
'''


@app.function(scaledown_window=60)
def nothing():
    return time.time()


@app.function(scaledown_window=2)
def cold():
    return time.time()


@app.function(scaledown_window=60)
@modal.concurrent(max_inputs=10)
@modal.fastapi_endpoint()
def endpoint():
    return {"at": time.time()}


@app.function(scaledown_window=60)
@modal.concurrent(max_inputs=10)
@modal.web_server(8000, startup_timeout=30)
def server():
    subprocess.Popen([sys.executable, "-c", SERVER])
