# SPDX-License-Identifier: Apache-2.0
"""Ports of containers that are reached from outside."""
import socket
import threading
import time

import modal

app = modal.App("e2e-tunnels")
places = modal.Dict.from_name("e2e-tunnels", create_if_missing=True)


def echo(listener):
    while True:
        peer, _ = listener.accept()

        def answer(peer=peer):
            while piece := peer.recv(65536):
                peer.sendall(piece)
            peer.close()

        threading.Thread(target=answer, daemon=True).start()


def listening():
    listener = socket.create_server(("0.0.0.0", 0))
    threading.Thread(target=echo, args=(listener,), daemon=True).start()
    return listener.getsockname()[1]


@app.function()
def forwards(name, seconds):
    port = listening()
    with modal.forward(port, unencrypted=True) as tunnel:
        places[name] = tunnel.tcp_socket
        time.sleep(seconds)
    places[name] = None
    time.sleep(2)
    return "left"


@app.function()
def forwards_twice():
    port = listening()
    with modal.forward(port, unencrypted=True):
        with modal.forward(port, unencrypted=True):
            return "both"


@app.function()
def forwards_many():
    opened = []
    try:
        for _ in range(100):
            tunnel = modal.forward(listening(), unencrypted=True)
            tunnel.__enter__()
            opened.append(tunnel)
    except Exception as error:
        return len(opened), str(error)
    finally:
        for tunnel in opened:
            tunnel.__exit__(None, None, None)


@app.function()
def forwards_with_tls():
    with modal.forward(8000) as tunnel:
        return tunnel.url


@app.function(block_network=True)
def has_no_network():
    with modal.forward(8000, unencrypted=True) as tunnel:
        return tunnel.tcp_socket
