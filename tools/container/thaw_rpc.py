# SPDX-License-Identifier: Apache-2.0
"""The client's RPCs over a container's own socket, without what a general HTTP/2 library costs.

That client speaks gRPC by grpclib, whose HTTP/2 (h2 and hpack) is plain Python: it takes most of
the time of a short RPC, of which each call of a function needs two. On /run/thaw/api.sock the other
side is always Thaw, so two things of grpclib are replaced there, and only there:

    the transport   thaw_http2.py: RPCs of all kinds go through grpclib's own code above it
    short calls     UnaryUnaryMethod.__call__, for a call that can be sent at once: an open
                    connection, room in the windows, room for a stream; any other goes grpclib's way

What the user's program sees is the same: statuses, messages, details, metadata, listeners,
deadlines, cancellation, errors of the connection. Where grpclib is not one that is known here, or
THAW_FAST_RPC is 0, everything stays grpclib's.
"""

import asyncio
import os
import time

from thaw_http2 import Call, Connection, number_of, packed_field

SOCKET = "/run/thaw/api.sock"
KNOWN = ("0.4.7", "0.4.8", "0.4.9")  # of grpclib


class Grpclib:
    """What is taken of grpclib; an AttributeError or ImportError where it has changed."""

    def __init__(self, client):
        import grpclib
        import hpack
        from grpclib import const, encoding, metadata, protocol

        if grpclib.__version__ not in KNOWN:
            raise ImportError(f"grpclib {grpclib.__version__} is not known")
        self.client = client
        self.Decoder = hpack.Decoder
        self.Peer = protocol.Peer
        self.StreamTerminatedError = client.StreamTerminatedError
        self.Handler = client.Handler
        self.Channel = client.Channel
        self.UnaryUnaryMethod = client.UnaryUnaryMethod
        self.ProtoCodec = encoding.proto.ProtoCodec
        self.GRPCError = client.GRPCError
        self.Deadline = client.Deadline
        self.Status = const.Status
        self.MultiDict = client.MultiDict
        self.encode_metadata = metadata.encode_metadata
        self.encode_timeout = metadata.encode_timeout
        self.decode_metadata = metadata.decode_metadata
        self.protocol_factory = client.Channel._protocol_factory
        self.unary_call = client.UnaryUnaryMethod.__call__
        for name in ("_raise_for_status", "_raise_for_content_type", "_process_grpc_status",
                     "_raise_for_grpc_status"):  # fmt: skip
            getattr(client.Stream, name)


def is_ours(channel):
    return channel._path == SOCKET and os.environ.get("THAW_FAST_RPC") != "0"


class UnaryCalls:
    """grpclib's UnaryUnaryMethod.__call__ for a connection of ours."""

    def __init__(self, grpclib):
        self.grpclib = grpclib
        self.packed = {}  # name of a field -> its last value, and both packed
        self.heads = {}  # method, authority, agent -> packed

    async def run(self, method, message, timeout, metadata):
        grpclib, channel = self.grpclib, method.channel
        connection = channel._protocol
        if not self._is_fit(channel, connection) or (timeout is not None and timeout <= 0):
            return await grpclib.unary_call(method, message, timeout=timeout, metadata=metadata)
        deadline = None if timeout is None else grpclib.Deadline.from_timeout(timeout)
        dispatch = channel.__dispatch__
        fields, = await dispatch.send_request(
            grpclib.MultiDict(metadata or ()),
            method_name=method.name,
            deadline=deadline,
            content_type="application/grpc",
        )  # fmt: skip
        head = self._head(channel, method, deadline, fields)
        message, = await dispatch.send_message(message)
        body = channel._codec.encode(message, method.request_type)
        size = len(body) + 5
        # The listeners may have waited.
        if not self._is_fit(channel, connection) or size > min(
            connection.send_window, connection.initial_window
        ):
            if deadline is not None:
                timeout = deadline.time_remaining()
            return await grpclib.unary_call(method, message, timeout=timeout, metadata=metadata)
        channel._calls_started += 1
        channel._last_call_started = time.monotonic()
        succeeded = False
        try:
            call = Call(connection.loop)
            connection.open(call)
            prefixed = b"".join((b"\0", size_bytes(len(body)), body))
            connection.messages_sent += 1
            connection.last_message_sent = channel._last_call_started
            connection.write(
                connection.head_frames(call.number, head, False)
                + connection.data_frames(call, prefixed, True)
            )
            await self._until_done(connection, call, deadline)
            reply = await self._reply(channel, method, connection, call)
            succeeded = True
            return reply
        finally:
            if succeeded:
                channel._calls_succeeded += 1
            else:
                channel._calls_failed += 1

    def _is_fit(self, channel, connection):
        return (
            type(connection) is Connection
            and not connection.handler.connection_lost
            and connection.is_writable
            and len(connection.streams) < connection.max_streams
            and not connection.is_closing()
            and type(channel._codec) is self.grpclib.ProtoCodec
            and asyncio.get_running_loop() is connection.loop
        )

    def _head(self, channel, method, deadline, fields):
        agent = self.grpclib.client.USER_AGENT
        key = (method.name, channel._scheme, channel._authority, agent)
        first = self.heads.get(key)
        if first is None:
            if len(self.heads) > 1000:
                self.heads.clear()
            first = self.heads[key] = b"".join([
                b"\x83",
                packed_field(":scheme", channel._scheme),
                packed_field(":path", method.name),
                packed_field(":authority", channel._authority),
                packed_field("te", "trailers"),
                packed_field("content-type", "application/grpc"),
                packed_field("user-agent", agent),
            ])  # fmt: skip
        parts = [first]
        if deadline is not None:
            parts.append(
                packed_field("grpc-timeout", self.grpclib.encode_timeout(deadline.time_remaining()))
            )
        packed = self.packed
        for name, value in fields.items():
            known = packed.get(name)
            if known is None or known[0] != value:
                if len(packed) > 64:
                    packed.clear()
                checked = self.grpclib.encode_metadata([(name, value)])
                known = packed[name] = (value, b"".join([packed_field(*one) for one in checked]))
            parts.append(known[1])
        return b"".join(parts)

    async def _until_done(self, connection, call, deadline):
        timer = None
        if deadline is not None:
            timer = connection.loop.call_later(
                deadline.time_remaining(),
                lambda: call.terminated(asyncio.TimeoutError("Deadline exceeded")),
            )
        try:
            await call.done
        finally:
            if timer is not None:
                timer.cancel()
            if not call.remote_ended:
                connection.reset(call)

    async def _reply(self, channel, method, connection, call):
        """What grpclib makes of an answer, in its order."""
        grpclib, dispatch = self.grpclib, channel.__dispatch__
        if isinstance(call.error, asyncio.TimeoutError):
            raise call.error
        headers, trailers = dict(call.headers or ()), dict(call.trailers or ())
        if call.error is not None or call.trailers is None or not is_good(headers, trailers):
            await self._raise(method, dispatch, call, headers, trailers)
        if "recv_initial_metadata" not in dispatch.__dict__:
            await dispatch.recv_initial_metadata(grpclib.decode_metadata(call.headers))
        whole = call.pieces[0] if len(call.pieces) == 1 else b"".join(call.pieces)
        if len(whole) < 5 or len(whole) < 5 + number_of(whole, 1):
            raise grpclib.GRPCError(grpclib.Status.INTERNAL, "The answer has no whole message")
        if whole[0]:
            raise NotImplementedError("Compression not implemented")
        reply = channel._codec.decode(whole[5 : 5 + number_of(whole, 1)], method.reply_type)
        reply, = await dispatch.recv_message(reply)  # fmt: skip
        connection.messages_received += 1
        connection.last_message_received = time.monotonic()
        if "recv_trailing_metadata" not in dispatch.__dict__:
            await dispatch.recv_trailing_metadata(
                grpclib.decode_metadata(call.trailers),
                status=grpclib.Status.OK, status_message=None, status_details=None,
            )  # fmt: skip
        return reply

    async def _raise(self, method, dispatch, call, headers, trailers):
        grpclib = self.grpclib
        of_grpclib = method.open()  # never sent: it judges answers
        if call.headers is not None:
            of_grpclib._raise_for_status(headers)
            of_grpclib._raise_for_content_type(headers)
        if call.error is not None and call.trailers is None and "grpc-status" not in headers:
            raise call.error
        is_short = "grpc-status" in headers
        if is_short:
            initial = grpclib.MultiDict()
        else:
            initial = grpclib.decode_metadata(call.headers or ())
        await dispatch.recv_initial_metadata(initial)
        status, text, details = of_grpclib._process_grpc_status(headers if is_short else trailers)
        fields = call.headers if is_short else call.trailers or ()
        await dispatch.recv_trailing_metadata(
            grpclib.decode_metadata(fields),
            status=status, status_message=text, status_details=details,
        )  # fmt: skip
        of_grpclib._raise_for_grpc_status(status, text, details)
        raise call.error or grpclib.GRPCError(
            grpclib.Status.INTERNAL, "The answer has no whole message"
        )


def size_bytes(size):
    return size.to_bytes(4, "big")


def is_good(headers, trailers):
    return (
        headers.get(":status") == "200"
        and headers.get("content-type") in ("application/grpc", "application/grpc+proto")
        and "grpc-status" not in headers
        and trailers.get("grpc-status") == "0"
    )


def replace_in(client):
    """Puts this module under grpclib.client, if that is as it is known."""
    try:
        grpclib = Grpclib(client)
    except (AttributeError, ImportError):
        return False
    unary_calls = UnaryCalls(grpclib)

    def _protocol_factory(self):
        if not is_ours(self):
            return grpclib.protocol_factory(self)
        return Connection(grpclib, grpclib.Handler(), self._loop)

    async def __call__(self, message, *, timeout=None, metadata=None):
        return await unary_calls.run(self, message, timeout, metadata)

    client.Channel._protocol_factory = _protocol_factory
    client.UnaryUnaryMethod.__call__ = __call__
    return True


def spec_of(name, path):
    """How grpclib.client is imported; what it has becomes ours at the end of that."""
    import importlib.machinery

    spec = importlib.machinery.PathFinder.find_spec(name, path)
    if spec is not None and spec.loader is not None:
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            replace_in(module)

        spec.loader.exec_module = exec_module
    return spec
