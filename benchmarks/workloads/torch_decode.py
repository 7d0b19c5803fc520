# SPDX-License-Identifier: MIT
"""Greedy decoding with a language model with random weights: prints a line of JSON for every line on stdin.

    {"tokens": 128, "seconds": 3.2, "tokens_per_s": 40.0, "digest": "…"}

The digest is that of the tokens, so two processes with the same options print the same one. The first line is
{"ready": true}, after the model has decoded once. It decodes one sequence in plain eager mode, which makes the most
driver calls per token. Needs torch and transformers; downloads nothing. Exits at the end of stdin.

    torch_decode.py [--layers N] [--tokens N] [--prompt N]      (28 layers, the default, are Qwen2-1.5B)
"""

import argparse
import hashlib
import json
import sys
import time

import torch
from qwen2 import with_layers


@torch.inference_mode()
def decode(model, prompt, tokens):
    """Returns the seconds for `tokens` steps after the prompt, and the tokens."""
    output = model(prompt, use_cache=True)
    chosen = [output.logits[:, -1:].argmax(-1)]
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(tokens):
        output = model(chosen[-1], past_key_values=output.past_key_values, use_cache=True)
        chosen.append(output.logits[:, -1:].argmax(-1))
    torch.cuda.synchronize()
    return time.perf_counter() - begin, torch.cat(chosen, 1).tolist()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--prompt", type=int, default=64)
    options = parser.parse_args()
    model = with_layers(options.layers)
    prompt = torch.arange(options.prompt, device="cuda").unsqueeze(0)
    decode(model, prompt, options.tokens)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        seconds, chosen = decode(model, prompt, options.tokens)
        answer = {
            "tokens": options.tokens,
            "seconds": seconds,
            "tokens_per_s": options.tokens / seconds,
            "digest": hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:16],
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
