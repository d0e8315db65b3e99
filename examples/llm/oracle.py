# SPDX-License-Identifier: Apache-2.0
"""The same binding outside Thaw: prints greedy tokens as a JSON list, to compare with.

    python -m venv v && v/bin/pip install --no-deps -r examples/llm/requirements.txt
    v/bin/python examples/llm/oracle.py
"""
import json
import sys

import smollm

PROMPT = "The capital of France is"

if __name__ == "__main__":
    prompt = sys.argv[1] if len(sys.argv) > 1 else PROMPT
    smollm.check_weights()
    print(json.dumps(list(smollm.SmolLM().tokens(prompt, 32))))
