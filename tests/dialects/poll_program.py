# SPDX-License-Identifier: Apache-2.0
"""In a container of the poll dialect: asks for inputs at POLL_API, over one connection for all."""
import http.client
import json
import os
import signal
import sys
import threading
import time

HOST, PORT = os.environ["POLL_API"].split(":")
left = set()  # inputs that are cancelled


class Left(Exception):
    """The input is to be left."""


class Api:
    """One connection, made anew where it was closed."""

    def __init__(self):
        self.line = http.client.HTTPConnection(HOST, int(PORT))

    def ask(self, method, path, body=None):
        self.line.request(method, path, body)
        answer = self.line.getresponse()
        return answer.status, answer.headers, answer.read()


def watch_cancels(stop):
    api = Api()
    while not stop.is_set():
        left.update(api.ask("GET", "/cancelled")[2].decode().split())


def do(api, order, input_id, attempt):
    what = order["do"]
    if what == "double":
        return 2 * order["n"]
    if what == "pid":
        return f"{os.uname().nodename} {order.get('tag', '')}"
    if what == "count":
        do.count = getattr(do, "count", 0) + 1
        return do.count
    if what == "die" and attempt <= order["times"]:
        os.kill(os.getpid(), signal.SIGKILL)
    if what in ("die", "attempt"):
        return attempt
    if what == "fail":
        if attempt <= order["times"]:
            raise ValueError("as it was told")
        return attempt
    if what == "sleep":
        print("has", input_id, flush=True)
        time.sleep(order["s"])
        return "awake"
    if what == "pieces":
        for n in range(order["n"]):
            assert api.ask("POST", f"/piece/{input_id}", f"piece {n}")[0] == 200
        return "whole"
    if what == "big":
        return "x" * order["bytes"]
    if what == "until cancelled":
        while input_id not in left:
            time.sleep(0.02)
        raise Left("told so")
    if what == "intrude":
        return [api.ask(*asked)[0] for asked in (
            ("GET", "/healthz"), ("GET", "/metrics"), ("GET", "/admin/x"), ("GET", "/api/v1/calls"),
            ("POST", f"/answer/{order['other']}", "mine"),
            ("POST", f"/piece/{order['other']}", "x"),
            ("PUT", "/poll/functions/x", "{}"))]  # fmt: skip
    raise ValueError(what)


def serve_input(api, input_id, attempt, body):
    stop = threading.Event()
    threading.Thread(target=watch_cancels, args=(stop,), daemon=True).start()
    try:
        result = do(api, json.loads(body), input_id, attempt)
    except Left as word:
        verb, result = "left", str(word)
    except Exception as failure:  # an input's failure is not the program's
        verb, result = "error", f"{type(failure).__name__}: {failure}"
    else:
        verb = "answer"
    stop.set()
    result = result if isinstance(result, str) else json.dumps(result)
    api.ask("POST", f"/{verb}/{input_id}", result)


def main():
    api = Api()
    if os.path.exists("/unfit"):
        api.ask("POST", "/unfit", "nothing fits")
        sys.exit(1)
    print("begins", flush=True)
    while True:
        status, headers, body = api.ask("GET", "/next")
        if status == 410:
            break
        if status == 200:
            serve_input(api, headers["input-id"], int(headers["attempt"]), body)


main()
