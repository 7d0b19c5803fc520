# SPDX-License-Identifier: MIT
"""The HTTP face of benchmarks/workloads with an engine of this test's own: the next token is the last one plus the
number of tokens so far."""

import sys

sys.path.insert(0, sys.argv[1])
from inference.face import serve  # noqa: E402


class Counting:
    model_id, vocab_size, max_len = "counting", 1000, 300

    def generate(self, prompt, max_tokens, temperature, seed):
        token = prompt[-1] + int(temperature * 100) + seed
        for index in range(max_tokens):
            token = (token + len(prompt) + index) % self.vocab_size
            yield token


serve(Counting(), "127.0.0.1", int(sys.argv[2]))
