# SPDX-License-Identifier: Apache-2.0
"""Cold and warm calls of the language model of examples/llm, by stage.

Run by bench/run with the client's Python: model_bench.py OUT.json
"""
from measuring import HERE, row, run_bench, timed

COLD_STARTS, CALLS, TOKENS = 5, 10, 32
PROMPT = "The capital of France is"


def measure(server):
    import modal

    model = modal.Cls.from_name("example-llm", "SmolLM")()
    cold, warm, inside, loads = [], [], [], []

    def call():
        reply = model.generate.remote(PROMPT, TOKENS)
        inside.append(reply["seconds"])
        loads.append(reply["load_seconds"])

    for _ in range(COLD_STARTS):
        server.wait_for_zero_of("SmolLM")
        cold += timed(call, 1)
    inside.clear()
    warm = timed(call, CALLS)
    return [row(f"warm call, {TOKENS} tokens", warm, baseline=inside),
            row("  of it the model itself", inside),
            row("cold call", cold, baseline=warm),
            row("  load of the model", loads),
            *server.stage_rows("SmolLM")]


if __name__ == "__main__":
    run_bench(measure, HERE.parent / "examples/llm/llm.py", '[gpu]\nwhen_missing = "cpu"\n',
              {"LLM_SCALEDOWN_WINDOW": "2"})
