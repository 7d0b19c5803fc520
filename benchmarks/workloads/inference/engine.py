# SPDX-License-Identifier: MIT
"""A causal language model with random weights, and slots of key-value cache for its requests.

The weights are created once and saved as safetensors, so that a start reads them from files like a server of a trained
model. Needs torch and transformers (5 or newer); downloads nothing.
"""

import itertools
import json
import os
import shutil
import tempfile

import torch
from qwen2 import QWEN2_1_5B, random_model
from transformers import Qwen2Config, Qwen2ForCausalLM, StaticCache

#: Names that `--config` accepts: fields of transformers' Qwen2Config.
CONFIGS = {
    "qwen2-1.5b": QWEN2_1_5B,
    "tiny": {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
}


def read_config(name):
    """The configuration with this name or in this JSON file."""
    if name in CONFIGS:
        return Qwen2Config(**CONFIGS[name])
    try:
        with open(name, encoding="utf-8") as file:
            return Qwen2Config(**json.load(file))
    except (OSError, ValueError, TypeError) as error:
        raise SystemExit(f"--config {name}: neither one of {', '.join(CONFIGS)} nor a Qwen2 configuration: {error}")


def make_weights(config, directory, device):
    """Saves a model with random weights to `directory` atomically, unless it exists."""
    if os.path.exists(os.path.join(directory, "config.json")):
        return
    os.makedirs(os.path.dirname(os.path.abspath(directory)), exist_ok=True)
    scratch = tempfile.mkdtemp(dir=os.path.dirname(os.path.abspath(directory)))
    try:
        random_model(config, device).save_pretrained(scratch)
        os.rename(scratch, directory)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


class Engine:
    """The model and its cache, for the HTTP API. Call `generate` from one thread, for one request at a time."""

    def __init__(self, directory, kv_bytes, slot_tokens, device):
        self.device = device
        self.model = Qwen2ForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).to(device).eval()
        self.config = self.model.config
        self.model_id = os.path.basename(os.path.normpath(directory))
        self.vocab_size = self.config.vocab_size
        self.max_len = slot_tokens
        self.slots = itertools.cycle(self._make_slots(kv_bytes))

    def _make_slots(self, kv_bytes):
        heads = self.config.num_key_value_heads
        head_dim = self.config.hidden_size // self.config.num_attention_heads
        slot_bytes = 2 * self.config.num_hidden_layers * heads * head_dim * self.max_len * 2  # bf16
        slots = []
        for _ in range(max(1, kv_bytes // slot_bytes)):
            slot = StaticCache(config=self.config, max_cache_len=self.max_len)
            slot.early_initialization(1, heads, head_dim, torch.bfloat16, self.device)
            for layer in slot.layers:  # as after use, because a checkpoint of zeroes is cheap
                layer.keys.normal_()
                layer.values.normal_()
            slots.append(slot)
        return slots

    @torch.inference_mode()
    def generate(self, prompt, max_tokens, temperature, seed):
        """Yields `max_tokens` token ids. Each request uses the next slot of the cache. `prompt` is a list of ids."""
        slot = next(self.slots)
        random = torch.Generator(self.device).manual_seed(seed)
        tokens = torch.tensor([prompt], device=self.device)
        slot.reset()
        for _ in range(max_tokens):
            logits = self.model(tokens, past_key_values=slot, use_cache=True, logits_to_keep=1).logits[0, -1].float()
            if temperature > 0:
                token = torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=random)
            else:
                token = logits.argmax(keepdim=True)
            yield int(token)
            tokens = token.view(1, 1)
