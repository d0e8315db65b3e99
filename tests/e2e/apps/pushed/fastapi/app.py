# SPDX-License-Identifier: Apache-2.0
import fastapi

app = fastapi.FastAPI()


@app.post("/double")
def double(number: int = fastapi.Body(embed=True)):
    return {"double": 2 * number}
