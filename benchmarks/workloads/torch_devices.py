# SPDX-License-Identifier: MIT
"""Keeps random bytes on every visible GPU, in tensors of 512 MiB, and answers `sums` on a Unix socket.

The answer has an exact sum per GPU, computed there. The sums before a dump and after the restore must be the same.
Needs torch.

    torch_devices.py --socket PATH [--gib N]      (N GiB on each GPU, 16 by default)
"""

import argparse

import torch
from answering import serve

WORDS = 512 * 1024 * 1024 // 4


def fill(device, gib):
    generator = torch.Generator(device=device).manual_seed(device.index + 1)
    limits = (-(2**31), 2**31 - 1)
    return [
        torch.randint(*limits, (WORDS,), dtype=torch.int32, device=device, generator=generator)
        for _ in range(2 * gib)
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--gib", type=int, default=16)
    options = parser.parse_args()
    devices = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    tensors = [fill(device, options.gib) for device in devices]

    def sums():
        of_devices = (sum(int(tensor.sum(dtype=torch.int64)) for tensor in group) for group in tensors)
        return f"ok sums={','.join(map(str, of_devices))}"

    serve(options.socket, sums)


if __name__ == "__main__":
    main()
