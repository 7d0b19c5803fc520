# SPDX-License-Identifier: MIT
"""A PyTorch server that denoises images with a transformer of random weights (1.3 billion, bfloat16) in a captured graph.

    diffusion_server.py PORT

POST /image {"seed": N} answers with the SHA-256 of the image, which is the same for the same seed.
"""

import hashlib
import sys

import torch
from http_face import serve

WIDTH, DEPTH, PATCHES, STEPS = 2048, 24, 1024, 20


class Denoiser:
    def __init__(self):
        torch.manual_seed(0)
        torch.use_deterministic_algorithms(True)
        with torch.device("cuda"):
            block = lambda: torch.nn.TransformerEncoderLayer(WIDTH, 16, 4 * WIDTH, dropout=0.0, batch_first=True)
            self.model = torch.nn.Sequential(*(block() for _ in range(DEPTH))).to(torch.bfloat16).eval()
            self.image = torch.zeros(1, PATCHES, WIDTH, dtype=torch.bfloat16)
        with torch.no_grad():
            stream = torch.cuda.Stream()
            with torch.cuda.stream(stream):
                self.step()
            torch.cuda.current_stream().wait_stream(stream)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.step()

    def step(self):
        self.image.copy_(0.9 * self.image + 0.1 * self.model(self.image))

    def make(self, seed):
        generator = torch.Generator("cuda").manual_seed(seed)
        self.image.copy_(torch.randn(self.image.shape, generator=generator, device="cuda"))
        for _ in range(STEPS):
            self.graph.replay()
        return hashlib.sha256(self.image.float().cpu().numpy().tobytes()).hexdigest()


def main():
    denoiser = Denoiser()
    assert denoiser.make(0) == denoiser.make(0), "the same seed gives different images"

    serve(int(sys.argv[1]), lambda request: {"sha256": denoiser.make(request["seed"])})


if __name__ == "__main__":
    main()
