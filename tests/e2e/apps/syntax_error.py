# SPDX-License-Identifier: Apache-2.0
"""A module with a syntax error that only the container meets."""
import modal

app = modal.App("e2e-syntax-error")

if not modal.is_local():
    exec(compile("def broken(:\n", "user_code.py", "exec"))


@app.function()
def never():
    return 1
