# SPDX-License-Identifier: Apache-2.0
"""A socket with TLS upon it that behaves as a plain one does in the tests: it can end one direction
only, one thread may read while another writes, and a stream that was cut is a ConnectionResetError
and no end."""

import functools
import socket
import ssl
import threading


@functools.lru_cache
def context_for(authority):
    """Read once: tests open a thousand."""
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsSocket:
    def __init__(self, sock, authority, name="localhost"):
        self.sock = sock
        self.state, self.sending = threading.Lock(), threading.Lock()
        self.received, self.to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = context_for(authority)
        self.tls = context.wrap_bio(self.received, self.to_send, server_hostname=name)
        self._do(self.tls.do_handshake)

    def _flush(self):
        if not self.to_send.pending:  # whoever reads does not wait for who writes
            return
        with self.sending:
            with self.state:
                piece = self.to_send.read()
            self.sock.sendall(piece)

    def _do(self, step):
        while True:
            try:
                with self.state:
                    done = step()
                self._flush()
                return done
            except ssl.SSLWantReadError:
                self._flush()
            piece = self.sock.recv(65536)
            if not piece:
                raise ConnectionResetError("cut off without a farewell")
            with self.state:
                self.received.write(piece)

    def sendall(self, data):
        view = memoryview(data)
        while view:
            # What is encrypted ahead of the kernel is small, so that back-pressure is seen.
            view = view[self._do(lambda part=view[:65536]: self.tls.write(part)):]

    def recv(self, count):
        try:
            return self._do(lambda: self.tls.read(count))
        except ssl.SSLZeroReturnError:
            return b""

    def shutdown(self, how):
        assert how == socket.SHUT_WR
        try:
            with self.state:
                self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            pass  # the other direction goes on
        self._flush()

    def close(self):
        """With a farewell, as clients end, so far as the kernel takes it now."""
        if self.sock.fileno() < 0:
            return
        self.sock.setblocking(False)
        if self.sending.acquire(blocking=False):
            try:
                with self.state:
                    self.tls.unwrap()
            except (ssl.SSLError, OSError):
                pass  # the other end's is not waited for
            try:
                self.sock.send(self.to_send.read())
            except OSError:
                pass
            finally:
                self.sending.release()
        self.cut()

    def cut(self):
        self.sock.close()

    def __getattr__(self, name):
        return getattr(self.sock, name)
