# SPDX-License-Identifier: Apache-2.0
"""A predictor of cog's own HTTP server, with as many at a time as the others take."""
import cog
import handler


class Predictor(cog.BasePredictor):
    def setup(self):
        self.answer_of = handler.load()

    @cog.concurrent(max=32)
    async def predict(self, text: str) -> dict:
        return self.answer_of(text)
