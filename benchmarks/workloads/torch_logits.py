# SPDX-License-Identifier: MIT
"""A causal language model with random weights that answers `logits` on a Unix socket.

The answer has digests of the logits of a fixed prompt, computed eagerly and by replaying a captured CUDA graph. The
digests before a dump and after the restore must be the same. Needs torch and transformers; downloads nothing.

    torch_logits.py --socket PATH [--layers N]      (28 layers, the default, are Qwen2-1.5B)
"""

import argparse
import hashlib

import torch
from answering import serve
from qwen2 import with_layers


def digest(tensor):
    return hashlib.sha256(tensor.float().cpu().numpy().tobytes()).hexdigest()[:16]


@torch.inference_mode()
def capture(model, prompt):
    """Returns a graph of one forward pass, and the tensor that a replay fills."""
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
    model = with_layers(options.layers, use_cache=False)
    prompt = torch.arange(64, device="cuda").unsqueeze(0)
    graph, captured = capture(model, prompt)
    serve(options.socket, lambda: answer(model, prompt, graph, captured))


if __name__ == "__main__":
    main()
