# SPDX-License-Identifier: MIT
"""Makes the models of rows.mjs: real shapes and a byte-level tokenizer, random weights with a fixed seed.

    models.py DIR [NAME ...]      all of them, or some of: q15 l8 q15-weights q15-bin lora llama.gguf

q15 (Qwen2, 1.5 B) and l8 (Llama, 8 B) have no weights: vLLM's --load-format dummy makes them. q15-weights and q15-bin (3 GB each)
have, as safetensors and pickled; lora is an adapter of q15; llama.gguf (3 B, Q8_0) is for llama.cpp. It needs what each is for:
torch, tokenizers, safetensors, gguf. Existing models are left as they are.
"""

import json
import os
import sys

WORDS = {"q15": 151936, "l8": 128256}
BOS, EOS = 301, 300
COMMON = dict(hidden_act="silu", initializer_range=0.02, max_position_embeddings=4096, rms_norm_eps=1e-6, rope_theta=1e6,
              dtype="bfloat16", use_cache=True, eos_token_id=EOS, bos_token_id=BOS, attention_dropout=0.0)
SHAPES = {
    "q15": dict(architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_size=1536, intermediate_size=8960,
                num_hidden_layers=28, num_attention_heads=12, num_key_value_heads=2, tie_word_embeddings=True),
    "l8": dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=4096, intermediate_size=14336,
               num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, tie_word_embeddings=False),
}


def write_json(path, content):
    with open(path, "w") as file:
        json.dump(content, file, indent=1)


def words_of(count):
    """The bytes, and names for the rest: token by token, any answer is text."""
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return alphabet + ["w%d\u0120" % i for i in range(len(alphabet), count)]


def write_config(directory, shape):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    count = WORDS[shape]
    words = words_of(count)
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(f"{directory}/tokenizer.json")
    write_json(f"{directory}/tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": words[EOS], "pad_token": words[BOS], "model_max_length": 4096,
    })
    write_json(f"{directory}/config.json", {**SHAPES[shape], **COMMON, "vocab_size": count})


def random_tensor(torch, name, shape):
    """Norms are one, biases zero; the rest is normal, made on the GPU where there is one."""
    if "norm" in name:
        return torch.ones(shape, dtype=torch.bfloat16)
    if name.endswith("bias"):
        return torch.zeros(shape, dtype=torch.bfloat16)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return (0.02 * torch.randn(shape, device=device, dtype=torch.bfloat16)).cpu()


def q15_shapes():
    config = SHAPES["q15"]
    width, inner = config["hidden_size"], config["intermediate_size"]
    keys = width // config["num_attention_heads"] * config["num_key_value_heads"]
    yield "model.embed_tokens.weight", (WORDS["q15"], width)
    yield "model.norm.weight", (width,)
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        yield f"{layer}.input_layernorm.weight", (width,)
        yield f"{layer}.post_attention_layernorm.weight", (width,)
        for part, outputs in ("q", width), ("k", keys), ("v", keys):
            yield f"{layer}.self_attn.{part}_proj.weight", (outputs, width)
            yield f"{layer}.self_attn.{part}_proj.bias", (outputs,)
        yield f"{layer}.self_attn.o_proj.weight", (width, width)
        yield f"{layer}.mlp.gate_proj.weight", (inner, width)
        yield f"{layer}.mlp.up_proj.weight", (inner, width)
        yield f"{layer}.mlp.down_proj.weight", (width, inner)


def q15_tensors():
    import torch

    torch.manual_seed(0)
    return {name: random_tensor(torch, name, shape) for name, shape in q15_shapes()}


def write_safetensors(directory):
    from safetensors.torch import save_file

    write_config(directory, "q15")
    save_file(q15_tensors(), f"{directory}/model.safetensors", {"format": "pt"})


def write_pickled(directory):
    import torch

    write_config(directory, "q15")
    torch.save(q15_tensors(), f"{directory}/pytorch_model.bin")


def write_lora(directory):
    import torch
    from safetensors.torch import save_file

    rank, targets = 16, ["q_proj", "v_proj"]
    torch.manual_seed(1)
    tensors = {}
    for name, shape in q15_shapes():
        module = name.removesuffix(".weight")
        if len(shape) == 2 and module.split(".")[-1] in targets:
            for part, size in ("A", (rank, shape[1])), ("B", (shape[0], rank)):
                tensors[f"base_model.model.{module}.lora_{part}.weight"] = 0.2 * torch.randn(size, dtype=torch.bfloat16)
    save_file(tensors, f"{directory}/adapter_model.safetensors", {"format": "pt"})
    write_json(f"{directory}/adapter_config.json", {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "q15", "r": rank, "lora_alpha": 2 * rank,
        "lora_dropout": 0.0, "bias": "none", "target_modules": targets, "fan_in_fan_out": False, "inference_mode": True,
    })


def write_gguf(path, width=3072, inner=8192, layers=28, heads=24, kv_heads=8, count=32000):
    """A Llama whose Q8_0 blocks are random bytes with one scale."""
    import gguf
    import numpy

    generator = numpy.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(4096)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(count)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    words = words_of(count)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.NORMAL] * count)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)

    def add(name, rows, columns):
        block = numpy.dtype([("scale", "<f2"), ("values", "i1", 32)])
        blocks = numpy.empty((rows, columns // 32), block)
        blocks["scale"] = 0.03 / 127
        blocks["values"] = numpy.frombuffer(generator.bytes(rows * columns), numpy.int8).reshape(rows, -1, 32)
        data = blocks.view(numpy.uint8).reshape(rows, -1)
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    def add_norm(name):
        writer.add_tensor(name, numpy.ones(width, numpy.float32))

    add("token_embd.weight", count, width)
    for i in range(layers):
        keys = width // heads * kv_heads
        for name, rows, columns in (
            ("attn_q", width, width), ("attn_k", keys, width), ("attn_v", keys, width), ("attn_output", width, width),
            ("ffn_gate", inner, width), ("ffn_up", inner, width), ("ffn_down", width, inner),
        ):
            add(f"blk.{i}.{name}.weight", rows, columns)
        add_norm(f"blk.{i}.attn_norm.weight")
        add_norm(f"blk.{i}.ffn_norm.weight")
    add_norm("output_norm.weight")
    add("output.weight", count, width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


MODELS = {
    "q15": lambda directory: write_config(directory, "q15"),
    "l8": lambda directory: write_config(directory, "l8"),
    "q15-weights": write_safetensors,
    "q15-bin": write_pickled,
    "lora": write_lora,
    "llama.gguf": write_gguf,
}


def main():
    directory, *names = sys.argv[1:]
    for name in names or MODELS:
        path = os.path.join(directory, name)
        if os.path.exists(path):
            continue
        making = f"{path}.new"
        os.makedirs(directory if name.endswith(".gguf") else making, exist_ok=True)
        MODELS[name](making)
        os.rename(making, path)


if __name__ == "__main__":
    main()
