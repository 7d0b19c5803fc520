# SPDX-License-Identifier: MIT
"""Trains a small network, one step per request on a Unix socket, with the same result in every run.

    training.py --socket PATH [--backend torch|driver]

It answers `status` with `ok`, `train N` with the losses of N steps, and `digest` with a hash of all weights. `torch`
needs PyTorch with CUDA. `driver` needs only a libcuda (CRIU_CUDA_DRIVER): its weights are in device memory, but the CPU
computes.

Losses are printed exactly, as hexadecimal floats. Between two requests no connection is open, so that CRIU can dump
the process.
"""

import argparse
import array
import ctypes
import hashlib
import os
import random
import socket

SEED = 20


class Torch:
    """A perceptron with momentum and with dropout, which uses the state of the device's random generator."""

    def __init__(self):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        import torch

        self.torch = torch
        torch.manual_seed(SEED)
        torch.use_deterministic_algorithms(True)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(512, 2048),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(2048, 512),
        ).cuda()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        self.target = torch.randn(512, 512, device="cuda")

    def step(self):
        """Draws a batch on the device and updates the weights."""
        batch = self.torch.randn(256, 512, device="cuda")
        loss = self.torch.nn.functional.mse_loss(self.model(batch), batch @ self.target / 22.0)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def digest(self):
        total = hashlib.sha256()
        for parameter in self.model.parameters():
            total.update(parameter.detach().cpu().numpy().tobytes())
        return total.hexdigest()


class Driver:
    """Linear regression whose weights are read from and written to device memory in every step."""

    COUNT = 1 << 18  # 2 MiB: large enough for the interceptor to move it

    def __init__(self):
        self.cuda = ctypes.CDLL(os.environ.get("CRIU_CUDA_DRIVER") or "libcuda.so.1")
        self.random = random.Random(SEED)
        context, self.weights = ctypes.c_void_p(), ctypes.c_uint64()
        self.call("cuInit", 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)
        self.call("cuMemAlloc_v2", ctypes.byref(self.weights), ctypes.c_size_t(8 * self.COUNT))
        self.write(array.array("d", [0.0]) * self.COUNT)

    def call(self, name, *arguments):
        result = getattr(self.cuda, name)(*arguments)
        if result != 0:
            raise RuntimeError(f"{name}: {result}")

    def read(self):
        host = array.array("d", bytes(8 * self.COUNT))
        address, size = ctypes.c_void_p(host.buffer_info()[0]), ctypes.c_size_t(8 * self.COUNT)
        self.call("cuMemcpyDtoH_v2", address, self.weights, size)
        return host

    def write(self, host):
        address, size = ctypes.c_void_p(host.buffer_info()[0]), ctypes.c_size_t(8 * self.COUNT)
        self.call("cuMemcpyHtoD_v2", self.weights, address, size)

    def step(self):
        weights = self.read()
        loss = 0.0
        for index in self.random.sample(range(self.COUNT), 64):
            error = weights[index] - index / self.COUNT
            weights[index] -= 0.5 * error
            loss += error * error
        self.write(weights)
        return loss

    def digest(self):
        return hashlib.sha256(self.read().tobytes()).hexdigest()


def answer(training, request):
    word, *rest = request.split()
    if word == "train":
        return " ".join(["ok", *(float(training.step()).hex() for _ in range(int(rest[0])))])
    if word == "digest":
        return f"ok {training.digest()}"
    return "ok"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--backend", choices=["torch", "driver"], default="torch")
    options = parser.parse_args()
    training = Torch() if options.backend == "torch" else Driver()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(options.socket)
    listener.listen(4)
    while True:
        client, _ = listener.accept()
        with client:
            client.sendall(f"{answer(training, client.recv(64).decode())}\n".encode())


if __name__ == "__main__":
    main()
