# SPDX-License-Identifier: MIT
"""How fast copies between host memory and the GPU are with the interceptor, and without it, in pairs.

Two processes of workload-copies stay side by side, one of them under the interceptor; for each case they are asked in
turn, and who is first alternates. Result: JSON on stdout with every sample, and a table on stderr. The first pair of a
case is not counted. Exit code 1 when a process ends early, which it does when a byte arrives wrong.

    copy_pairs.py --interceptor LIB --workload PROGRAM [--kinds a,b] [--directions a,b] [--sizes 1K,1M,…] [--pairs N]

CRIU_CUDA_* settings are taken from the environment. Times of the software driver mean nothing.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
SIZES = "1K,16K,64K,256K,1M,2M,4M,8M,16M,32M,64M,128M,256M,512M,1G,2G,4G,8G"
SETTINGS = ("CRIU_CUDA_INTERCEPT", "CRIU_CUDA_MEMCPY_MIN_MB", "CRIU_CUDA_STREAMS")


def size(text):
    return int(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else int(text)


class Copies:
    """A running workload-copies, with the library preloaded or without."""

    def __init__(self, program, preload):
        env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        if preload:
            env["LD_PRELOAD"] = preload
        self.process = subprocess.Popen(
            [program], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.line()
        with open(f"/proc/{self.process.pid}/maps", encoding="utf-8") as maps:
            text = maps.read()
        self.is_software = "/softcuda/" in text
        if ("libcuda_intercept.so" in text) != bool(preload):
            raise SystemExit(f"the interceptor is {'not ' if preload else ''}in {program}")

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            raise SystemExit(f"{self.process.args[0]} ended with status {self.process.wait()}")
        return json.loads(text)

    def rate(self, direction, kind, size_bytes):
        """GB/s (10^9 bytes) of one sample."""
        self.process.stdin.write(f"{direction} {kind} {size_bytes}\n")
        self.process.stdin.flush()
        answer = self.line()
        return size_bytes * answer["copies"] / answer["seconds"] / 1e9

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def measure(plain, under, direction, kind, size_bytes, pairs):
    without, with_it = [], []
    for pair in range(pairs + 1):
        order = [(plain, without), (under, with_it)]
        for process, samples in order if pair % 2 else reversed(order):
            samples.append(process.rate(direction, kind, size_bytes))
    ratios = [b / a for a, b in zip(without[1:], with_it[1:], strict=True)]
    return {
        "direction": direction,
        "kind": kind,
        "bytes": size_bytes,
        "without": without[1:],
        "with": with_it[1:],
        "first": {"without": without[0], "with": with_it[0]},
        "median": {
            "without": statistics.median(without[1:]),
            "with": statistics.median(with_it[1:]),
            "ratio": statistics.median(ratios),
        },
    }


def text_of(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


def environment(software):
    gpu = None
    if not software:
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        gpu = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()[:1]
    return {
        "softwareDriver": software,
        "gpu": gpu,
        "kernel": platform.release(),
        "cpus": len(os.sched_getaffinity(0)),
        "thp": text_of("/sys/kernel/mm/transparent_hugepage/enabled"),
        "settings": {name: os.environ.get(name) for name in SETTINGS},
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--interceptor", required=True, type=os.path.abspath)
    parser.add_argument("--workload", required=True, type=os.path.abspath)
    parser.add_argument("--kinds", default="pageable,pinned")
    parser.add_argument("--directions", default="to_device,to_host")
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    plain, under = Copies(options.workload, None), Copies(options.workload, options.interceptor)
    cases = []
    if plain.is_software:
        print("software driver: the times mean nothing", file=sys.stderr)
    print(f"{'':30}{'GB/s without':>14}{'with':>10}{'ratio':>8}", file=sys.stderr)
    for kind in options.kinds.split(","):
        # The largest first: the memory is then made once.
        sizes = sorted((size(text) for text in options.sizes.split(",")), reverse=True)
        for direction in options.directions.split(","):
            if kind == "fresh" and direction == "to_device":
                continue
            for size_bytes in sizes:
                case = measure(plain, under, direction, kind, size_bytes, options.pairs)
                median = case["median"]
                name = f"{direction} {kind} {size_bytes}"
                print(
                    f"{name:30}{median['without']:14.3f}{median['with']:10.3f}{median['ratio']:8.3f}",
                    file=sys.stderr,
                    flush=True,
                )
                cases.append(case)
    plain.end()
    under.end()
    json.dump(
        {"schemaVersion": 1, "what": "copies", "environment": environment(plain.is_software), "cases": cases},
        sys.stdout,
        indent=1,
    )
    print()


if __name__ == "__main__":
    main()
