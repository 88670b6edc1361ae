#!/usr/bin/env python3
"""Ask the installed LiteLLM what calls cost.

Run it with an interpreter that has litellm and write its output to
internal/catalog/testdata/costs.tsv: rates, usage, and the cost of prompt and
answer in dollars. Each rate is a whole number of dollars, so that the sums are
exact.
"""

import os
import random

os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="CRITICAL")

import litellm  # noqa: E402

from litellm.litellm_core_utils.llm_cost_calc.utils import generic_cost_per_token  # noqa: E402
from litellm.types.utils import CompletionTokensDetailsWrapper, PromptTokensDetailsWrapper, Usage  # noqa: E402

RATES = [
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost",
    "output_cost_per_reasoning_token",
    "input_cost_per_audio_token",
    "output_cost_per_audio_token",
    "input_cost_per_token_above_128k_tokens",
    "output_cost_per_token_above_128k_tokens",
    "input_cost_per_token_above_200k_tokens",
    "output_cost_per_token_above_200k_tokens",
    "cache_read_input_token_cost_above_200k_tokens",
]
USED = ["prompt", "cached", "written", "audio_in", "completion", "reasoning", "audio_out"]


def main():
    random.seed(11)
    litellm.suppress_debug_info = True
    print("# what the emulated release answers\n" + "\t".join(["rates", "usage", "input", "output"]))
    for i in range(300):
        chosen = ["input_cost_per_token", "output_cost_per_token"] + [r for r in RATES[2:7] if random.random() < 0.5]
        if i % 3 == 0:
            chosen += random.choice([RATES[7:9], RATES[9:11], RATES[9:12], RATES[7:11]])
        rates = {r: float(random.randint(1, 9)) for r in chosen}
        name = f"vocab-cost-{i}"
        litellm.register_model({name: {**rates, "litellm_provider": "openai", "mode": "chat"}})
        prompt = random.choice([0, 10, 1000, 128_000, 128_001, 200_000, 200_001, 300_000])
        u = dict.fromkeys(USED, 0)
        u["prompt"] = prompt
        u["cached"] = random.choice([0, 0, prompt // 2])
        u["written"] = random.choice([0, 0, 0, prompt // 4])
        u["audio_in"] = random.choice([0, 0, prompt // 8])
        u["completion"] = random.choice([0, 7, 1000])
        u["reasoning"] = random.choice([0, u["completion"] // 2])
        u["audio_out"] = random.choice([0, 0, u["completion"] // 4])
        usage = Usage(
            prompt_tokens=u["prompt"],
            completion_tokens=u["completion"],
            total_tokens=u["prompt"] + u["completion"],
            prompt_tokens_details=PromptTokensDetailsWrapper(
                cached_tokens=u["cached"], audio_tokens=u["audio_in"], cache_creation_tokens=u["written"]
            ),
            completion_tokens_details=CompletionTokensDetailsWrapper(reasoning_tokens=u["reasoning"], audio_tokens=u["audio_out"]),
            cache_creation_input_tokens=u["written"],
            cache_read_input_tokens=u["cached"],
        )
        into, out = generic_cost_per_token(model=name, usage=usage, custom_llm_provider="openai")
        print("\t".join([
            ",".join(f"{k}={v:g}" for k, v in rates.items()),
            ",".join(f"{k}={v}" for k, v in u.items() if v),
            f"{into:.6f}",
            f"{out:.6f}",
        ]))


if __name__ == "__main__":
    main()
