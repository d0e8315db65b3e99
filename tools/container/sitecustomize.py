# SPDX-License-Identifier: Apache-2.0
# Written by Thaw. The client's dependencies come last: what the image installed wins.
import os
import sys
import time

sys.path.append("/__modal/deps")


class FastRpc:
    """When the client's gRPC library is imported: see thaw_rpc.py."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "grpclib.client":
            sys.meta_path.remove(FastRpc)
            try:
                from thaw_rpc import spec_of

                return spec_of(name, path)
            except Exception:
                pass  # the library as it is
        return None


sys.meta_path.insert(0, FastRpc)
try:
    # Tells the server when the interpreter was up; a stage of the container's start. Later ones
    # tell it too, which nobody reads: a full pipe must not hold them up.
    report = os.open("/run/thaw-start", os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(report, b"%d\n" % time.monotonic_ns())
    finally:
        os.close(report)
    if os.environ.get("MODAL_ENABLE_SNAP_RESTORE") == "1":
        import thaw_restore

        thaw_restore.listen()
except OSError:
    pass
del os, time
