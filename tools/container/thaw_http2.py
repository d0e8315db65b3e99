# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 for a container's RPCs, the client's side, in as little Python as it takes.

A Connection stands where grpclib has its H2Protocol (and is its connection and its processor too),
a Stream where that has its streams; a Call is what thaw_rpc.py makes of a short unary RPC.

Heads are sent without HPACK's table; those that come are decoded by hpack. What a stream has not
been read of is not given back to its window, so a slow reader slows its sender; the connection's
window follows what arrives, so that it slows nobody else. No PING is sent: the kernel tells when
the other side of a Unix socket has gone. A stream that breaks HTTP/2's rules ends alone where the
rules allow it; otherwise the connection ends, after a GOAWAY. As in grpclib, all of it belongs to
one event loop. Python 3.9 or newer; nothing but the standard library and what grpclib hands over.
"""

import asyncio
import struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION = 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 1, 2, 3, 4, 5
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, CANCEL = 0, 1, 3, 6, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME = struct.Struct(">BHBBL")
FRAME_BYTES = 9
LARGEST_FRAME = 16384  # that comes: HTTP/2's own default
STREAM_WINDOW = 1 << 20
CONNECTION_WINDOW = 64 << 20
LARGEST_WINDOW = (1 << 31) - 1
LAST_STREAM = (1 << 31) - 1
LARGEST_HEAD = 256 << 10  # packed
WRITE_BYTES = 256 << 10  # of a large message at a time
KNOWN_HEADS = 64


class Broken(Exception):
    """The other side does not keep to HTTP/2; ends the connection."""

    def __init__(self, error, why):
        super().__init__(why)
        self.error = error


def frame(kind, flags, number, payload=b""):
    size = len(payload)
    return FRAME.pack(size >> 16, size & 0xFFFF, kind, flags, number) + payload


def number_of(data, at):
    return int.from_bytes(data[at : at + 4], "big")


def packed_length(size):
    """An integer of HPACK with a prefix of seven bits, the eighth being 0: no Huffman code."""
    if size < 127:
        return bytes((size,))
    out = bytearray((127,))
    size -= 127
    while size >= 128:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)
    return bytes(out)


def packed_field(name, value):
    """A field that no table remembers."""
    name, value = name.encode("ascii"), value.encode("ascii")
    return b"".join((b"\0", packed_length(len(name)), name, packed_length(len(value)), value))


class Signal:
    """Wakes all that wait; whoever does looks again at what it waits for."""

    __slots__ = ("loop", "waiters")

    def __init__(self, loop):
        self.loop = loop
        self.waiters = []

    async def wait(self):
        waiter = self.loop.create_future()
        self.waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self.waiters:
                self.waiters.remove(waiter)

    def wake(self):
        if self.waiters:
            waiters, self.waiters = self.waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)


class Call:
    """A unary call under way: what has come of its answer."""

    __slots__ = ("number", "room", "send_window", "headers", "trailers", "pieces", "done", "error",
                 "local_ended", "remote_ended")  # fmt: skip

    def __init__(self, loop):
        self.number = 0
        self.room = STREAM_WINDOW
        self.send_window = 0
        self.headers = None
        self.trailers = None
        self.pieces = []
        self.done = loop.create_future()
        self.error = None
        self.local_ended = True
        self.remote_ended = False

    def arrived(self, piece):
        self.pieces.append(piece)

    def wanted_room(self):
        return STREAM_WINDOW  # the message is read whole, whatever its size

    def changed(self):
        if self.remote_ended and not self.done.done():
            self.done.set_result(None)

    def terminated(self, error):
        if not self.done.done():
            self.error = error
            self.done.set_result(None)

    def window_opened(self):
        pass


class Stream:
    """What grpclib's client asks of a stream of its protocol."""

    def __init__(self, connection, wrapper):
        self.connection = connection
        self.wrapper = wrapper
        self.number = None
        self.room = STREAM_WINDOW
        self.send_window = 0
        self.headers = None
        self.trailers = None
        self.local_ended = False
        self.remote_ended = False
        self.gone = None  # an error: no byte goes either way any more
        self._pieces = []
        self._at = 0  # what of the first piece has been taken
        self._unread = 0
        self._wanted = 0  # a reader waits for so much
        self._reading = Signal(connection.loop)
        self._writing = Signal(connection.loop)

    @property
    def id(self):
        return self.number

    @property
    def _transport(self):
        return self.connection

    # --- for the connection ---

    def arrived(self, piece):
        self._pieces.append(piece)
        self._unread += len(piece)

    def wanted_room(self):
        return STREAM_WINDOW - max(0, self._unread - self._wanted)

    def changed(self):
        if self.remote_ended and self.trailers is None:
            if self.headers is None or not any(n == "grpc-status" for n, _ in self.headers):
                self.trailers = []
        self._reading.wake()

    def terminated(self, error):
        self.gone = error
        if self.wrapper is not None:
            self.wrapper.cancel(error)
        self._reading.wake()
        self._writing.wake()

    def window_opened(self):
        self._writing.wake()

    # --- for grpclib ---

    async def send_request(self, headers, end_stream=False, *, _processor=None):
        connection = self.connection
        while True:
            await connection.until_writable()
            if connection.is_left():
                raise connection.terminated_error()
            if len(connection.streams) < connection.max_streams:
                break
            await connection.stream_ended.wait()
        head = b"".join([packed_field(name, value) for name, value in headers])
        self.local_ended = end_stream
        connection.open(self)
        connection.write(connection.head_frames(self.number, head, end_stream))

        def release():
            self._pieces.clear()
            self._unread = 0

        return release

    async def send_data(self, data, end_stream=False):
        connection = self.connection
        rest = memoryview(data)
        while True:
            await connection.until_writable()
            self._check_open()
            window = min(self.send_window, connection.send_window)
            if window <= 0 and len(rest) > 0:
                await self._writing.wait()
                continue
            part = rest[: min(window, WRITE_BYTES)]
            rest = rest[len(part) :]
            is_last = len(rest) == 0
            self.local_ended = is_last and end_stream
            connection.write(connection.data_frames(self, part, self.local_ended))
            if is_last:
                return connection.forget_if_over(self)

    async def end(self):
        await self.connection.until_writable()
        self._check_open()
        self.local_ended = True
        self.connection.write(frame(DATA, END_STREAM, self.number))
        self.connection.forget_if_over(self)

    async def recv_headers(self):
        while self.headers is None:
            await self._more()
        return self.headers

    async def recv_data(self, size):
        while self._unread < size and not self.remote_ended:
            self._wanted = size
            self.connection.give_room(self)
            try:
                await self._more()
            finally:
                self._wanted = 0
        if size > 0 and self._unread == 0:
            return b""
        assert self._unread >= size, "Received less data than expected"
        taken = self._take(size)
        self.connection.give_room(self)
        return taken

    async def recv_trailers(self):
        while self.trailers is None:
            await self._more()
        return self.trailers

    async def reset(self, error_code=CANCEL):
        self.reset_nowait(error_code)

    def reset_nowait(self, error_code=CANCEL):
        self.gone = self.gone or self.connection.terminated_error("Stream is closed")
        self.connection.reset(self, int(error_code) or CANCEL)

    @property
    def closable(self):
        return self.number in self.connection.streams and not self.connection.is_closing()

    def _take(self, size):
        self._unread -= size
        first = self._pieces[0] if self._pieces else b""
        if len(first) - self._at > size:
            self._at += size
            return first[self._at - size : self._at]
        taken = []
        while size > 0:
            piece = self._pieces[0][self._at :]
            if len(piece) > size:
                taken.append(piece[:size])
                self._at += size
                break
            taken.append(piece)
            size -= len(piece)
            self._at = 0
            del self._pieces[0]
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _check_open(self):
        if self.gone is not None:
            raise self.gone

    async def _more(self):
        self._check_open()
        await self._reading.wait()


class Connection(asyncio.Protocol):
    """One connection: grpclib's protocol, its connection and its processor."""

    messages_sent = messages_received = 0
    last_message_sent = last_message_received = None

    def __init__(self, grpclib, handler, loop):
        self.grpclib = grpclib
        self.handler = handler  # connection_lost: no new stream comes here
        self.loop = loop
        self.transport = None
        self.streams = {}  # those that are not over, by number
        self.next_number = 1
        self.max_streams = 100
        self.send_window = self.initial_window = 65535
        self.largest_frame = 16384
        self.room = CONNECTION_WINDOW
        self.stream_ended = Signal(loop)
        self.is_writable = True
        self._writable = Signal(loop)
        self._rest = b""
        self._answers = []  # frames that go out when what has come is worked through
        self._block = None  # of a head whose end has not come: number, flags, [piece], size
        self._decoder = grpclib.Decoder()
        self._known = {}
        self._tell_table_size = True
        self._reason = "Connection lost"

    # --- what grpclib looks at ---

    @property
    def processor(self):
        return self

    @property
    def connection(self):
        return self

    def create_stream(self, *, stream_id=None, wrapper=None):
        return Stream(self, wrapper)

    def get_peer(self):
        return self.grpclib.Peer(self.transport)

    def is_closing(self):
        return self.transport is None or self.transport.is_closing()

    def close(self, reason="Connection closed"):
        """All that is under way fails with this reason."""
        self._reason = reason
        if self.transport is not None:
            self.transport.close()
        self.handler.close()
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            stream.terminated(self.terminated_error())
        self.stream_ended.wake()
        self._writable.wake()

    # --- asyncio ---

    def connection_made(self, transport):
        self.transport = transport
        settings = struct.pack(">HLHL", ENABLE_PUSH, 0, INITIAL_WINDOW, STREAM_WINDOW)
        more = struct.pack(">L", CONNECTION_WINDOW - 65535)
        transport.write(
            PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, more)
        )

    def data_received(self, data):
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        try:
            while end - at >= FRAME_BYTES:
                high, low, kind, flags, number = FRAME.unpack_from(data, at)
                size = high << 16 | low
                if size > LARGEST_FRAME:
                    raise Broken(FRAME_SIZE_ERROR, "a frame is too large")
                stop = at + FRAME_BYTES + size
                if stop > end:
                    break
                self._take_frame(kind, flags, number & LAST_STREAM, data, at + FRAME_BYTES, stop)
                at = stop
        except Broken as why:
            return self._break(why)
        self._rest = data[at:] if at < end else b""
        if self._answers and not self.is_closing():
            answers, self._answers = self._answers, []
            self.transport.write(b"".join(answers))

    def pause_writing(self):
        self.is_writable = False

    def resume_writing(self):
        self.is_writable = True
        self._writable.wake()

    def connection_lost(self, exc):
        self.close(self._reason)

    # --- sending ---

    def is_left(self):
        return self.handler.connection_lost or self.is_closing()

    def terminated_error(self, reason=None):
        return self.grpclib.StreamTerminatedError(reason or self._reason)

    async def until_writable(self):
        while not self.is_writable and not self.is_closing():
            await self._writable.wait()

    def write(self, data):
        if not self.is_closing():
            self.transport.write(data)

    def open(self, stream):
        stream.number = self.next_number
        stream.send_window = self.initial_window
        self.streams[stream.number] = stream
        self.next_number += 2
        if self.next_number > LAST_STREAM:
            self.handler.close()  # the next stream is one of a new connection

    def head_frames(self, number, head, ends):
        if self._tell_table_size:
            # The table of what is sent has no room from here on, whatever the peer's may have.
            self._tell_table_size = False
            head = b"\x20" + head
        last = END_STREAM if ends else 0
        if len(head) <= self.largest_frame:
            return frame(HEADERS, END_HEADERS | last, number, head)
        frames = [frame(HEADERS, last, number, head[: self.largest_frame])]
        for at in range(self.largest_frame, len(head), self.largest_frame):
            flags = END_HEADERS if at + self.largest_frame >= len(head) else 0
            frames.append(frame(CONTINUATION, flags, number, head[at : at + self.largest_frame]))
        return b"".join(frames)

    def data_frames(self, stream, data, ends):
        """`data` fits into the windows."""
        size = len(data)
        stream.send_window -= size
        self.send_window -= size
        frames = []
        for at in range(0, max(size, 1), self.largest_frame):
            part = bytes(data[at : at + self.largest_frame])
            flags = END_STREAM if ends and at + self.largest_frame >= size else 0
            frames.append(frame(DATA, flags, stream.number, part))
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def reset(self, stream, error=CANCEL):
        if self.streams.pop(stream.number, None) is not None:
            self.write(frame(RST_STREAM, 0, stream.number, struct.pack(">L", error)))
            self._one_less()

    def forget_if_over(self, stream):
        if stream.remote_ended and stream.local_ended:
            if self.streams.pop(stream.number, None) is not None:
                self._one_less()

    def _one_less(self):
        self.stream_ended.wake()
        if self.handler.connection_lost and not self.streams and not self.is_closing():
            self.close()  # the other side has said that it goes

    # --- receiving ---

    def _take_frame(self, kind, flags, number, data, at, stop):
        if self._block is not None and kind != CONTINUATION:
            raise Broken(PROTOCOL_ERROR, "a head is not whole")
        if kind == DATA:
            self._take_data(flags, number, data, at, stop)
        elif kind == HEADERS:
            at, stop = self._without_padding(flags, data, at, stop)
            at += 5 if flags & WITH_PRIORITY else 0
            if not self._is_begun(number) or at > stop:
                raise Broken(PROTOCOL_ERROR, "a head that belongs to no request")
            self._block = (number, flags, [], 0)
            self._take_head(flags, data, at, stop)
        elif kind == CONTINUATION:
            if self._block is None or self._block[0] != number:
                raise Broken(PROTOCOL_ERROR, "a CONTINUATION continues nothing")
            self._take_head(flags, data, at, stop)
        elif kind == WINDOW_UPDATE:
            self._take_window_update(number, data, at, stop)
        elif kind == RST_STREAM:
            self._take_reset(number, data, at, stop)
        elif kind == SETTINGS:
            self._take_settings(flags, number, data, at, stop)
        elif kind == PING:
            if stop - at != 8 or number != 0:
                raise Broken(FRAME_SIZE_ERROR, "a PING has eight bytes")
            if not flags & ACK:
                self._answers.append(frame(PING, ACK, 0, data[at:stop]))
        elif kind == GOAWAY:
            self._take_goaway(data, at, stop)
        elif kind == PUSH_PROMISE:
            raise Broken(PROTOCOL_ERROR, "a push was refused, and comes")
        # Others, PRIORITY among them, mean nothing here.

    def _is_begun(self, number):
        return number & 1 == 1 and number < self.next_number

    def _without_padding(self, flags, data, at, stop):
        if not flags & PADDED:
            return at, stop
        if at >= stop or at + 1 + data[at] > stop:
            raise Broken(PROTOCOL_ERROR, "more padding than frame")
        return at + 1, stop - data[at]

    def _take_data(self, flags, number, data, at, stop):
        size = stop - at
        if not self._is_begun(number):
            raise Broken(PROTOCOL_ERROR, "DATA that belongs to no request")
        self.room -= size
        if self.room < 0:
            raise Broken(FLOW_CONTROL_ERROR, "more than the connection's window")
        if self.room < CONNECTION_WINDOW // 2:
            self._answers.append(self._update(0, CONNECTION_WINDOW - self.room))
            self.room = CONNECTION_WINDOW
        at, stop = self._without_padding(flags, data, at, stop)
        stream = self.streams.get(number)
        if stream is None:
            return  # of a stream that was reset
        if stream.headers is None or stream.remote_ended:
            return self._stream_error(stream)
        stream.room -= size
        if stream.room < 0:
            return self._stream_error(stream, FLOW_CONTROL_ERROR)
        if stop > at:
            stream.arrived(data[at:stop])
        if flags & END_STREAM:
            self._ended(stream)
        else:
            self.give_room(stream, self._answers)
        stream.changed()

    def give_room(self, stream, answers=None):
        """Opens the window of a stream whose reader has taken, or waits for, what came."""
        more = stream.wanted_room() - stream.room
        if more < STREAM_WINDOW // 2 or stream.remote_ended or stream.number not in self.streams:
            return
        stream.room += more
        if answers is None:
            self.write(self._update(stream.number, more))
        else:
            answers.append(self._update(stream.number, more))

    def _update(self, number, more):
        return frame(WINDOW_UPDATE, 0, number, struct.pack(">L", more))

    def _ended(self, stream):
        stream.remote_ended = True
        self.forget_if_over(stream)

    def _take_head(self, flags, data, at, stop):
        number, first_flags, pieces, size = self._block
        size += stop - at
        if size > LARGEST_HEAD or len(pieces) > LARGEST_HEAD // 1024:
            raise Broken(ENHANCE_YOUR_CALM, "a head has no end")
        pieces.append(data[at:stop])
        if not flags & END_HEADERS:
            self._block = (number, first_flags, pieces, size)
            return
        self._block = None
        fields = self._fields(b"".join(pieces))
        stream = self.streams.get(number)
        if stream is None:
            return
        ends = first_flags & END_STREAM
        if stream.remote_ended:
            return self._stream_error(stream)
        if stream.headers is None:
            if not ends and dict(fields).get(":status", "").startswith("1"):
                return  # what comes before an answer
            stream.headers = fields
        elif ends:
            stream.trailers = fields
        else:
            return self._stream_error(stream)
        if ends:
            self._ended(stream)
        stream.changed()

    def _fields(self, block):
        found = self._known.get(block)
        if found is not None:
            return found
        try:
            decoded = self._decoder.decode(block, raw=True)
            fields = [(name.decode("ascii"), value.decode("ascii")) for name, value in decoded]
        except Exception as error:  # noqa: BLE001 - whatever the library raises: its table is lost
            raise Broken(COMPRESSION_ERROR, f"a head cannot be unpacked: {error!r}") from error
        if block and min(block) > 0x80 and max(block) < 0xFF:
            # References to the table, which did not change it: they mean the same until it changes.
            if len(self._known) >= KNOWN_HEADS:
                self._known.clear()
            self._known[block] = fields
        else:
            self._known.clear()
        return fields

    def _take_window_update(self, number, data, at, stop):
        if stop - at != 4:
            raise Broken(FRAME_SIZE_ERROR, "a WINDOW_UPDATE has four bytes")
        more = number_of(data, at) & LARGEST_WINDOW
        if number == 0:
            self.send_window += more
            if more == 0 or self.send_window > LARGEST_WINDOW:
                raise Broken(FLOW_CONTROL_ERROR, "the connection's window is out of its bounds")
            for stream in list(self.streams.values()):
                stream.window_opened()
            return
        stream = self.streams.get(number)
        if stream is not None:
            stream.send_window += more
            if more == 0 or stream.send_window > LARGEST_WINDOW:
                return self._stream_error(stream, FLOW_CONTROL_ERROR)
            stream.window_opened()

    def _take_reset(self, number, data, at, stop):
        if stop - at != 4 or not self._is_begun(number):
            raise Broken(PROTOCOL_ERROR, "a reset of nothing")
        stream = self.streams.pop(number, None)
        if stream is not None:
            error = number_of(data, at)
            stream.terminated(
                self.terminated_error(f"Stream reset by remote party, error_code: {error}")
            )
            self._one_less()

    def _take_settings(self, flags, number, data, at, stop):
        if number != 0 or (stop - at) % 6 != 0 or (flags & ACK and stop > at):
            raise Broken(FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        if flags & ACK:
            return
        for name, value in struct.iter_unpack(">HL", data[at:stop]):
            if name == TABLE_SIZE:
                self._tell_table_size = True
            elif name == MAX_STREAMS:
                self.max_streams = value
                self.stream_ended.wake()
            elif name == INITIAL_WINDOW:
                if value > LARGEST_WINDOW:
                    raise Broken(FLOW_CONTROL_ERROR, "a window is out of its bounds")
                for stream in list(self.streams.values()):
                    stream.send_window += value - self.initial_window
                    if stream.send_window > LARGEST_WINDOW:
                        raise Broken(FLOW_CONTROL_ERROR, "a window is out of its bounds")
                    stream.window_opened()
                self.initial_window = value
            elif name == MAX_FRAME:
                if not 16384 <= value < 1 << 24:
                    raise Broken(PROTOCOL_ERROR, "a frame size is out of its bounds")
                self.largest_frame = min(value, WRITE_BYTES)
        self._answers.append(frame(SETTINGS, ACK, 0))

    def _take_goaway(self, data, at, stop):
        if stop - at < 8:
            raise Broken(FRAME_SIZE_ERROR, "a GOAWAY of a wrong size")
        last, error = number_of(data, at) & LAST_STREAM, number_of(data, at + 4)
        reason = f"Received GOAWAY frame, closing connection; error_code: {error}"
        self._reason = reason
        if error != NO_ERROR:
            return self.close(reason)
        # What the other side has begun, it ends; what it has not, goes to a new connection.
        self.handler.close()
        for number in [number for number in self.streams if number > last]:
            self.streams.pop(number).terminated(self.terminated_error())
        if not self.streams:
            self.close(reason)
        self.stream_ended.wake()

    def _stream_error(self, stream, error=PROTOCOL_ERROR):
        """It breaks the rules; the others go on."""
        self.reset(stream, error)
        stream.terminated(self.terminated_error("Protocol error"))

    def _break(self, why):
        if not self.is_closing():
            payload = struct.pack(">LL", 0, why.error)
            self.transport.write(b"".join([*self._answers, frame(GOAWAY, 0, 0, payload)]))
        self._answers.clear()
        self._rest = b""
        self.close("Protocol error")
