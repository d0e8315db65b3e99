# SPDX-License-Identifier: Apache-2.0
"""Functions that notice what happens to them between two calls."""
import os
import subprocess
import threading
import time

import modal

app = modal.App("e2e-frozen")


class Ticker:
    """Counts in a thread of its own, as long as the process runs."""

    def __init__(self):
        self.count = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            self.count += 1
            time.sleep(0.01)


ticker = Ticker() if os.environ.get("MODAL_IS_REMOTE") else None


def state():
    return os.environ["MODAL_TASK_ID"], ticker.count


@app.function(scaledown_window=120)
def sleeper(seconds=0):
    time.sleep(seconds)
    return state()


@app.function(scaledown_window=120, experimental_options={"thaw_freeze": "off"})
def restless():
    return state()


@app.function(scaledown_window=120, min_containers=1)
def kept():
    return state()


@app.function(scaledown_window=120, max_containers=1)
@modal.concurrent(max_inputs=8)
def together(number):
    print(f"ran {number}.")
    time.sleep(0.002 * (number % 3))
    return number, state()[0]


@app.function(scaledown_window=120, max_containers=1)
def hammered(number):
    print(f"ran {number}.")
    return number, state()[0]


def leave(number):
    print(f"ran {number}.")
    return number, state()[0]


@app.function(scaledown_window=2)
def leaving_1(number):
    return leave(number)


@app.function(scaledown_window=2)
def leaving_2(number):
    return leave(number)


@app.function(scaledown_window=2)
def leaving_3(number):
    return leave(number)


@app.cls(scaledown_window=5)
class Leaver:
    @modal.enter()
    def begin(self):
        self.entered = time.time()

    @modal.exit()
    def end(self):
        print("the frozen leaver has left")

    @modal.method()
    def stay(self):
        return state()


@app.function(scaledown_window=120)
@modal.web_server(8000, startup_timeout=60)
def files():
    os.makedirs("/srv/www", exist_ok=True)
    with open("/srv/www/index.html", "w") as page:
        page.write(os.environ["MODAL_TASK_ID"])
    subprocess.Popen(["python", "-m", "http.server", "8000", "--directory", "/srv/www"])
