# SPDX-License-Identifier: MIT
"""Times all-reduces of two processes, for run.py.

    bandwidth.py [--backend nccl|gloo] [--cpu] [--sizes MIB,MIB,…]

Prints `ready`, then for each request `SIZE_MIB` on standard input one line of JSON: the bus bandwidth in GB/s of enough all-reduces
for a quarter of a second, checked.
"""

import argparse
import json
import multiprocessing
import os
import socket
import sys
import time

SECONDS = 0.25


class Rank:
    def __init__(self, options, number, port):
        import torch

        self.torch, self.number, self.is_cpu = torch, number, options.cpu
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        self.device = torch.device("cpu") if options.cpu else torch.device("cuda", number)
        if not options.cpu:
            torch.cuda.set_device(self.device)
        torch.distributed.init_process_group(options.backend, rank=number, world_size=2)
        begin = time.perf_counter()
        self.measure(1, 1)
        self.first_ms = 1000 * (time.perf_counter() - begin)

    def wait(self):
        if not self.is_cpu:
            self.torch.cuda.synchronize()

    def measure(self, mib, count):
        """Returns the seconds of `count` all-reduces. Each halves the sum of two equal halves, so the values stay."""
        data = self.torch.full((mib << 18,), 0.5, device=self.device)
        self.torch.distributed.barrier()
        self.wait()
        begin = time.perf_counter()
        for _ in range(count):
            self.torch.distributed.all_reduce(data)
            data.mul_(0.5)
        self.wait()
        seconds = time.perf_counter() - begin
        assert bool((data == 0.5).all())
        return seconds

    def bandwidth(self, mib):
        once = self.torch.tensor([self.measure(mib, 3) / 3], device=self.device)
        self.torch.distributed.all_reduce(once, self.torch.distributed.ReduceOp.MAX)
        count = max(5, min(2000, int(SECONDS / once.item())))
        # Of two ranks, each sends and receives as much as the data has.
        return (mib << 20) * count / self.measure(mib, count) / 1e9


def run(options, number, port, requests, answers):
    rank = Rank(options, number, port)
    answers.send(rank.first_ms)
    while True:
        answers.send(rank.bandwidth(requests.recv()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["nccl", "gloo"], default="nccl")
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    ends = []
    for number in range(2):
        request, requested = context.Pipe(), context.Pipe()
        words = (options, number, port, request[0], requested[1])
        context.Process(target=run, args=words, daemon=True).start()
        ends.append((request[1], requested[0]))
    print(json.dumps({"firstMs": max(answer.recv() for _, answer in ends)}), flush=True)
    for line in sys.stdin:
        for request, _ in ends:
            request.send(int(line))
        print(json.dumps({"gbPerS": min(answer.recv() for _, answer in ends)}), flush=True)


if __name__ == "__main__":
    main()
