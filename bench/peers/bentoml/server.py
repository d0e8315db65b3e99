# SPDX-License-Identifier: Apache-2.0
"""One BentoML worker that takes many requests at a time."""
import bentoml
import handler


@bentoml.service(workers=1, traffic={"timeout": 60}, metrics={"enabled": False})
class Service:
    def __init__(self):
        self.answer_of = handler.load()

    @bentoml.api
    async def answer(self, text: str) -> dict:
        return self.answer_of(text)
