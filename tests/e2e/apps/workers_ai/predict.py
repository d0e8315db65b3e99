# SPDX-License-Identifier: Apache-2.0
"""A model of several tasks, so that one container is enough for a test of all of them."""
import json
import os
import time
from typing import Any, Optional

from cog import BasePredictor, Input, Path


class Predictor(BasePredictor):
    def predict(
        self,
        text: Optional[str] = Input(default=None),
        source_lang: str = Input(default="en"),
        target_lang: Optional[str] = Input(default=None),
        audio: Optional[Path] = Input(default=None),
        image: Optional[Path] = Input(default=None),
        prompt: Optional[str] = Input(default=None),
    ) -> Any:
        if audio is not None:
            return {"text": f"heard {len(audio.read_bytes())} bytes"}
        if image is not None:
            return [{"label": "small", "score": 0.25}, {"label": "large", "score": 0.75}]
        if target_lang is not None:
            return f"{text} in {target_lang}"
        if text is not None:
            return [float(len(text)), 0.5, -1.0]
        if prompt == "die":
            os._exit(3)
        if prompt == "sleep":
            time.sleep(600)
        return json.dumps({"prompt": prompt})
