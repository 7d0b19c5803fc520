# SPDX-License-Identifier: MIT
"""Qwen2-1.5B with random weights: takes as much time and memory as the real model, but needs no download."""

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

#: Fields of transformers' Qwen2Config.
QWEN2_1_5B = {
    "vocab_size": 151936,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}


def random_model(config, device="cuda"):
    """A model in bf16 with the same weights each time."""
    torch.manual_seed(0)
    with torch.device(device):
        return Qwen2ForCausalLM(config).to(torch.bfloat16)


def with_layers(layers, **more):
    """A model on the GPU, ready for inference."""
    return random_model(Qwen2Config(**{**QWEN2_1_5B, "num_hidden_layers": layers, **more})).eval()
