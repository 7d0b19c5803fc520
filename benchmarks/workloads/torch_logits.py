# SPDX-License-Identifier: MIT
"""A causal language model with random weights that answers «logits» on a Unix socket.

The answer names a digest of the logits of a fixed prompt, computed eagerly, and of a captured CUDA graph's replay. The
same process asked before a dump and after a restore must give the same digests. Needs torch and transformers; downloads
nothing. Between two requests no connection is open, so that CRIU can dump the process.

    torch_logits.py --socket PATH [--layers N]      (28 layers, the default, are Qwen2-1.5B)
"""

import argparse
import hashlib
import os
import socket

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM


def build(layers):
    config = Qwen2Config(
        vocab_size=151936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=layers,
        num_attention_heads=12,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        use_cache=False,
    )
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    return model.eval()


def digest(tensor):
    return hashlib.sha256(tensor.float().cpu().numpy().tobytes()).hexdigest()[:16]


@torch.inference_mode()
def capture(model, prompt):
    """A graph of one forward pass, and the tensor its replay fills."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            model(prompt)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = model(prompt).logits
    return graph, logits


@torch.inference_mode()
def answer(model, prompt, graph, captured):
    eager = digest(model(prompt).logits)
    graph.replay()
    torch.cuda.synchronize()
    return f"ok eager={eager} graph={digest(captured)} bytes={torch.cuda.memory_reserved()}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--layers", type=int, default=28)
    options = parser.parse_args()
    model = build(options.layers)
    prompt = torch.arange(64, device="cuda").unsqueeze(0)
    graph, captured = capture(model, prompt)
    listener = socket.socket(socket.AF_UNIX)
    if os.path.exists(options.socket):
        os.unlink(options.socket)
    listener.bind(options.socket)
    listener.listen(4)
    while True:
        client, _ = listener.accept()
        with client:
            if client.recv(64).strip() == b"quit":
                return
            client.sendall((answer(model, prompt, graph, captured) + "\n").encode())


if __name__ == "__main__":
    main()
