# SPDX-License-Identifier: Apache-2.0
"""A server of gRPC as anybody would write it, of bytes: no code is generated for it."""
import concurrent.futures
import os
import threading
import time

import grpc

cancelled = threading.Semaphore(0)
sent = 0


def unary(request, context):
    context.set_trailing_metadata((("x-pid", str(os.getpid())), ("x-sum-bin", b"\0\1\2")))
    told = dict(context.invocation_metadata())
    return request + b" from " + told.get("x-who", "nobody").encode()


def fails(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: " + request.decode())


def counts(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def floods(request, context):
    """As fast as it is read."""
    global sent
    sent = 0
    for _ in range(int(request)):
        yield bytes(64 << 10)
        sent += 1


def tells(request, context):
    return b"%d" % sent


def echoes(requests, context):
    context.send_initial_metadata((("x-first", "yes"),))
    for request in requests:
        yield request


def adds(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def ignores(requests, context):
    """Takes nothing of what it is sent for a while."""
    time.sleep(5)
    return b"%d" % sum(len(request) for request in requests)


def hangs(request, context):
    over = threading.Event()

    def end():
        # Here, and not behind the wait: who leaves at once is heard before that begins.
        over.set()
        cancelled.release()

    context.add_callback(end)
    yield b"begun"
    over.wait()


def was_cancelled(request, context):
    return b"yes" if cancelled.acquire(timeout=30) else b"no"


def breaks(request, context):
    yield b"some"
    raise RuntimeError("asked to")


def dies(request, context):
    os._exit(3)


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Fails": grpc.unary_unary_rpc_method_handler(fails),
    "Counts": grpc.unary_stream_rpc_method_handler(counts),
    "Floods": grpc.unary_stream_rpc_method_handler(floods),
    "Tells": grpc.unary_unary_rpc_method_handler(tells),
    "Echoes": grpc.stream_stream_rpc_method_handler(echoes),
    "Adds": grpc.stream_unary_rpc_method_handler(adds),
    "Ignores": grpc.stream_unary_rpc_method_handler(ignores),
    "Hangs": grpc.unary_stream_rpc_method_handler(hangs),
    "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    "Breaks": grpc.unary_stream_rpc_method_handler(breaks),
    "Dies": grpc.unary_unary_rpc_method_handler(dies),
}
server = grpc.server(concurrent.futures.ThreadPoolExecutor(40))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Greeter", METHODS),))
server.add_insecure_port("0.0.0.0:" + os.environ["PORT"])
server.start()
server.wait_for_termination()
