# SPDX-License-Identifier: Apache-2.0
"""A server of its own whose module cannot be imported in its container."""
import modal

app = modal.App("e2e-ports-broken")

if not modal.is_local():
    import there_is_no_such_module  # noqa: F401


@app.function()
@modal.web_server(8000, startup_timeout=60)
def broken():
    pass
