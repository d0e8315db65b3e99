# SPDX-License-Identifier: Apache-2.0
"""A model that does what it is told, well or badly."""
import os
import time

from cog import BasePredictor, ConcatenateIterator, Input


class Predictor(BasePredictor):
    def setup(self):
        print("it sets itself up", flush=True)

    def predict(
        self,
        prompt: str = Input(description="What it says again", max_length=100_000_000),
        count: int = Input(description="How often", default=2, ge=1, le=1000),
        mode: str = Input(
            default="say",
            choices=["say", "slow", "fail", "die", "print", "stubborn", "odd"],
        ),
    ) -> ConcatenateIterator[str]:
        print(f"asked for {prompt[:20]}", flush=True)
        if mode == "fail":
            raise ValueError("as it was told")
        if mode == "die":
            os._exit(3)
        if mode == "odd":
            yield object()
        if mode == "print":
            for number in range(1_000_000):
                print("line", number)
        for number in range(count):
            if mode == "stubborn":
                try:
                    time.sleep(600)
                except BaseException:
                    time.sleep(600)
            if mode == "slow":
                time.sleep(1)
            yield f"{prompt[:20]} {number} "
