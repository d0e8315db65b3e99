# SPDX-License-Identifier: Apache-2.0
"""A module that imports here and fails in the container."""
import modal

app = modal.App("e2e-import-error")

if not modal.is_local():
    import a_module_that_is_not_there  # noqa: F401


@app.function()
def never():
    return 1
