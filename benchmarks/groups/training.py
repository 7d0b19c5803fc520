# SPDX-License-Identifier: MIT
"""Trains a network in several processes with DistributedDataParallel; the same losses and weights in every run.

    training.py --socket PATH [--ranks 2] [--backend nccl|gloo] [--cpu] [--loaders N] [--memory MIB]

The first process only starts the ranks, and serves one request at a time on a Unix socket:

    begin N    starts N steps in all ranks, and answers at once
    steps      how many steps all ranks have done
    result     waits for the end of the steps: the losses of each rank, exactly, and a hash of its weights
    touch      all ranks have read the end of their device memory
    check      all ranks have compared all of it
    pids       of the ranks

Rank i uses device i, or the only one that there is. `--cpu` trains without a GPU; the device memory is then that of the driver
in CRIU_CUDA_DRIVER. `--loaders` gives each rank that many worker processes: DataLoader(pin_memory, persistent_workers).
Between two requests no connection is open.
"""

import argparse
import collections
import hashlib
import json
import os
import selectors
import socket
import subprocess
import sys

WIDTH = 1024
BATCH = 64
ANSWERS = ("ready", "weights", "touched", "checked")


class Batches:
    """A data set whose items are computed from their number."""

    def __init__(self, torch, count):
        self.torch, self.count = torch, count

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        generator = self.torch.Generator().manual_seed(number)
        return self.torch.randn(WIDTH, generator=generator)


class Rank:
    """One process of the training."""

    def __init__(self, options):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        import torch
        from device_memory import DeviceMemory

        self.torch, self.options = torch, options
        has_gpu = not options.cpu
        self.number = options.rank % torch.cuda.device_count() if has_gpu else options.rank
        self.device = torch.device("cuda", self.number) if has_gpu else torch.device("cpu")
        if has_gpu:
            torch.cuda.set_device(self.device)
        else:
            torch.set_num_threads(1)
        self.memory = DeviceMemory(self.number, options.memory << 20)
        torch.distributed.init_process_group(options.backend, rank=options.rank, world_size=options.ranks)
        torch.manual_seed(20)
        torch.use_deterministic_algorithms(True)
        model = torch.nn.Sequential(
            torch.nn.Linear(WIDTH, 2 * WIDTH), torch.nn.ReLU(), torch.nn.Linear(2 * WIDTH, WIDTH)
        ).to(self.device)
        devices = [self.device] if has_gpu else None
        self.model = torch.nn.parallel.DistributedDataParallel(model, device_ids=devices)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        self.batches = self.from_loader() if options.loaders else self.drawn()

    def drawn(self):
        generator = self.torch.Generator(self.device).manual_seed(self.options.rank)
        while True:
            yield self.torch.randn(BATCH, WIDTH, device=self.device, generator=generator)

    def from_loader(self):
        data = self.torch.utils.data
        batches = Batches(self.torch, 64 * BATCH)
        loader = data.DataLoader(
            batches,
            batch_size=BATCH,
            sampler=data.DistributedSampler(batches, self.options.ranks, self.options.rank),
            num_workers=self.options.loaders,
            pin_memory=not self.options.cpu,
            persistent_workers=True,
            multiprocessing_context="fork",
        )
        while True:
            for batch in loader:
                yield batch.to(self.device, non_blocking=True)

    def step(self):
        batch = next(self.batches)
        loss = self.torch.nn.functional.mse_loss(self.model(batch), batch.flip(1))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item().hex()

    def weights(self):
        total = hashlib.sha256()
        for parameter in self.model.parameters():
            total.update(parameter.detach().cpu().numpy().tobytes())
        return total.hexdigest()

    def serve(self):
        """A request is a line; each step of `begin` is answered with a line, and the end with another."""
        print("ready", flush=True)
        for line in sys.stdin:
            word, *rest = line.split()
            if word == "begin":
                for _ in range(int(rest[0])):
                    print(f"loss {self.step()}", flush=True)
                print(f"weights {self.weights()}", flush=True)
            elif word == "touch":
                self.memory.touch()
                print("touched", flush=True)
            elif word == "check":
                print(f"checked {self.memory.check() or 'ok'}", flush=True)


class Lead:
    """Starts the ranks, collects what they print, and answers requests."""

    def __init__(self, options, words):
        self.losses = [[] for _ in range(options.ranks)]
        self.answers = [collections.deque() for _ in range(options.ranks)]
        self.rest = [b""] * options.ranks
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        self.ranks = [
            subprocess.Popen(
                [sys.executable, __file__, *words, "--rank", str(i)],
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for i in range(options.ranks)
        ]
        self.selector = selectors.DefaultSelector()
        for i, rank in enumerate(self.ranks):
            self.selector.register(rank.stdout, selectors.EVENT_READ, i)
        for answers in self.collect():
            assert answers == "ready", answers
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(options.socket)
        self.listener.listen(16)
        self.selector.register(self.listener, selectors.EVENT_READ, None)

    def take(self, number):
        """Reads what a rank has printed. NCCL prints, too."""
        data = os.read(self.ranks[number].stdout.fileno(), 65536)
        if not data:
            raise SystemExit(f"rank {number} has ended: {self.ranks[number].wait()}")
        *lines, self.rest[number] = (self.rest[number] + data).split(b"\n")
        for line in lines:
            word, _, rest = line.decode().strip().partition(" ")
            if word == "loss":
                self.losses[number].append(rest)
            elif word in ANSWERS:
                self.answers[number].append(line.decode().strip())
            else:
                print(line.decode(), file=sys.stderr, flush=True)

    def collect(self):
        """One answer of each rank besides losses."""
        for i, answers in enumerate(self.answers):
            while not answers:
                self.take(i)
        return [answers.popleft() for answers in self.answers]

    def tell(self, line):
        for rank in self.ranks:
            rank.stdin.write(f"{line}\n".encode())
            rank.stdin.flush()

    def answer(self, request):
        word = request.split()[0]
        if word == "steps":
            return f"ok {min(map(len, self.losses))}"
        if word == "pids":
            return f"ok {' '.join(str(rank.pid) for rank in self.ranks)}"
        if word == "begin":
            self.tell(request)
            return "ok"
        if word == "result":
            return f"ok {json.dumps({'weights': self.collect(), 'losses': self.losses})}"
        self.tell(word)
        answers = self.collect()
        is_right = all(answer in ("touched", "checked ok") for answer in answers)
        return "ok" if is_right else f"error {answers}"

    def serve(self):
        while True:
            for key, _ in self.selector.select():
                if key.data is not None:
                    self.take(key.data)
                    continue
                client, _ = self.listener.accept()
                with client:
                    client.sendall(f"{self.answer(client.recv(64).decode().strip())}\n".encode())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--backend", choices=["nccl", "gloo"], default="nccl")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--loaders", type=int, default=0)
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--rank", type=int)
    options = parser.parse_args()
    if options.rank is None:
        Lead(options, sys.argv[1:]).serve()
    else:
        Rank(options).serve()


if __name__ == "__main__":
    main()
