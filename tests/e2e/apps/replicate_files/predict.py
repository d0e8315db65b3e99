# SPDX-License-Identifier: Apache-2.0
"""A model that gives files, and takes one."""
import base64
from typing import Optional

from cog import BasePredictor, Input, Path

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Erk"
    "Jggg=="
)


class Predictor(BasePredictor):
    def predict(
        self,
        prompt: str = Input(default=""),
        mode: str = Input(default="file", choices=["file", "image", "large"]),
        file: Optional[Path] = Input(default=None),
    ) -> Path:
        if mode == "image":
            path = Path("/tmp/pixel.png")
            path.write_bytes(base64.b64decode(PIXEL))
            return path
        path = Path("/tmp/out.txt")
        text = file.read_text() if file else prompt
        path.write_text(text * (1_000_000 if mode == "large" else 1))
        return path
