# SPDX-License-Identifier: Apache-2.0
"""The work that every system serves: an echo with its length, or tokens of a language model.

PEER_WORKLOAD says which. No system knows more of it than `load()` once and `answer(text)` often.
"""
import os

TOKENS = 8


def load(workload=None):
    workload = workload or os.environ["PEER_WORKLOAD"]
    if workload == "trivial":
        return lambda text: {"text": text, "length": len(text)}
    import smollm  # examples/llm

    model = smollm.SmolLM()
    return lambda text: {"tokens": list(model.tokens(text, TOKENS))}
