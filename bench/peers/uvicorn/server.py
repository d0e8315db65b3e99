# SPDX-License-Identifier: Apache-2.0
"""FastAPI on uvicorn with uvloop and httptools: what one writes by hand."""
import fastapi
import handler

app = fastapi.FastAPI()
answer_of = handler.load()


@app.post("/answer")
async def answer(question: dict):
    return answer_of(question["text"])
