# SPDX-License-Identifier: Apache-2.0
"""A model that continues a text, from the word pairs of a text that it has read."""
import random
from collections import defaultdict

from cog import BasePredictor, ConcatenateIterator, Input

READ = """the quick brown fox jumps over the lazy dog and the lazy dog sleeps while the quick
fox runs over the hill and the brown hill sleeps under the quick sun"""


class Predictor(BasePredictor):
    def setup(self) -> None:
        self.after = defaultdict(list)
        words = READ.split()
        for word, following in zip(words, words[1:] + words[:1]):
            self.after[word].append(following)

    def predict(
        self,
        prompt: str = Input(description="The text that is to go on", min_length=1),
        words: int = Input(description="How many words more", default=8, ge=1, le=200),
        seed: int = Input(description="The same seed gives the same words", default=0),
    ) -> ConcatenateIterator[str]:
        draw = random.Random(seed)
        word = prompt.split()[-1].lower()
        yield prompt
        for _ in range(words):
            word = draw.choice(self.after.get(word) or sorted(self.after))
            yield " " + word
