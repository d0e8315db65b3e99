# SPDX-License-Identifier: Apache-2.0
"""A server with the API of servers of language models; it has no model behind it."""
import http.server
import json
import os
import time


def chunk(delta, finish=None, **more):
    return {
        "object": "chat.completion.chunk",
        "model": "inner",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, {"status": "ok"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/v1/embeddings":
            texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
            data = [{"embedding": [float(len(text)), 1.0]} for text in texts]
            return self.answer(200, {"data": data, "model": "inner"})
        said = body["messages"][-1]["content"]
        if said == "refuse":
            return self.answer(400, {"error": {"message": "it is too long"}})
        if said == "fail":
            return self.answer(500, {"error": {"message": "it is broken"}})
        usage = {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
        if body.get("stream"):
            return self.stream(said, usage)
        if body.get("tools"):
            called = {"name": body["tools"][0]["function"]["name"], "arguments": '{"x": 1}'}
            call = {"id": "c1", "type": "function", "function": called}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        else:
            message = {"role": "assistant", "content": f"you said {said}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return self.answer(200, {"model": "inner", "choices": [choice], "usage": usage})

    def stream(self, said, usage):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        if said == "flood":
            for _ in range(50_000):
                self.event(chunk({"content": "x" * 1000}))
            return self.event("[DONE]")
        for word in ["you", " said ", said]:
            self.event(chunk({"content": word}))
            if said == "die":
                os._exit(3)
            if said == "slow":
                time.sleep(600)
        self.event(chunk({}, "stop"))
        self.event(chunk({}, usage=usage))
        return self.event("[DONE]")

    def event(self, data):
        text = data if isinstance(data, str) else json.dumps(data)
        self.wfile.write(f"data: {text}\n\n".encode())
        self.wfile.flush()

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
