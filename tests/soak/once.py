# SPDX-License-Identifier: Apache-2.0
"""An app that is run, not deployed: it is to leave nothing."""
import modal

app = modal.App("soak-once")


@app.function()
def double(number):
    return 2 * number


@app.local_entrypoint()
def main():
    assert list(double.map(range(5))) == [0, 2, 4, 6, 8]
