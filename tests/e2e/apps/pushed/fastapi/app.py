# SPDX-License-Identifier: Apache-2.0
import os
import time

import fastapi

app = fastapi.FastAPI()
time.sleep(float(os.environ.get("LOAD_S", "0")))


@app.post("/double")
def double(number: int = fastapi.Body(embed=True)):
    return {"double": 2 * number}
