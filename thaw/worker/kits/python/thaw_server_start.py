# SPDX-License-Identifier: Apache-2.0
# Written by Thaw: the sitecustomize of a server that becomes a memory snapshot. It is found before
# the image's own, and leaves no trace: that one is imported behind it, and what the server starts
# does not find this one.
import os
import sys

_here = os.path.dirname(__file__)
if os.getppid() == 1:  # the container's main program, which gets the signal of a restore
    try:
        import thaw_restore

        thaw_restore.listen()
    except Exception as error:
        print(f"thaw: random numbers will not be renewed: {error}", file=sys.stderr)
_rest = [part for part in os.environ.get("PYTHONPATH", "").split(":") if part != _here]
if _rest:
    os.environ["PYTHONPATH"] = ":".join(_rest)
else:
    os.environ.pop("PYTHONPATH", None)
sys.path[:] = [part for part in sys.path if part != _here]
_this = sys.modules.pop("sitecustomize", None)
try:
    import sitecustomize  # noqa: F401
except ImportError as _error:
    if _error.name != "sitecustomize":
        raise
    sys.modules["sitecustomize"] = _this
