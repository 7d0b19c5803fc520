# SPDX-License-Identifier: MIT
"""Compares the speed of copies between host memory and the GPU with and without the interceptor, in pairs.

Two processes of workload-copies run at the same time, one of them with the interceptor. For each case they are asked
alternately, and each is asked first in every other pair. Two processes differ by chance (addresses, cores) and by which
was started first, so `--couples` starts several couples, one after the other, each time with another one first. `--also
control` adds a second process without the interceptor to each couple, which shows how large the difference by chance
is; memory and memcpy add a process with only that part of the interceptor. Prints JSON with all samples, couple by
couple, on stdout, and a table on stderr with the medians of the ratios and 95 % bootstrap intervals over the couples.
The first answer of each process for a case does not count. Exit code 1 when a process ends early, as it does when a
copied byte is wrong.

    copy_pairs.py --interceptor LIB --workload PROGRAM [--kinds a,b] [--directions a,b] [--sizes 1K,1M,…] [--pairs N]
        [--couples N] [--also control,…]

CRIU_CUDA_* settings come from the environment. Times of the software driver mean nothing.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys

from pairs import Asked, interval

PARTS = ("memory", "memcpy")
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
SIZES = "1K,16K,64K,256K,1M,2M,4M,8M,16M,32M,64M,128M,256M,512M,1G,2G,4G,8G"
SETTINGS = ("CRIU_CUDA_INTERCEPT", "CRIU_CUDA_MEMCPY_MIN_MB", "CRIU_CUDA_STREAMS")


def size(text):
    return int(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else int(text)


def rate(process, direction, kind, size_bytes):
    """GB/s (10^9 bytes) of one sample."""
    answer = process.ask(f"{direction} {kind} {size_bytes}")
    return size_bytes * answer["copies"] / answer["seconds"] / 1e9


def turned(names, by):
    """The same names, rotated so that another one is first."""
    names = list(names)
    return names[by % len(names) :] + names[: by % len(names)]


def couple(processes, case, pairs):
    """Adds the samples of these processes to a case. Their first answers do not count."""
    for pair in range(pairs + 1):
        for name in turned(processes, pair):
            sample = rate(processes[name], case["direction"], case["kind"], case["bytes"])
            if pair:
                case[name].append(sample)


def summary(case, names, pairs):
    """Medians of all samples, and medians over the couples of the ratio to the process without the interceptor."""
    result = {"median": {name: statistics.median(case[name]) for name in names}}
    for name in names[1:]:
        ratios = [b / a for a, b in zip(case["without"], case[name], strict=True)]
        couples = [statistics.median(ratios[at : at + pairs]) for at in range(0, len(ratios), pairs)]
        result[f"{name}/without"] = {"ratio": statistics.median(couples), "interval": interval(couples)}
    return result


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


def all_cases(options, names):
    # The largest size first, so that the memory is allocated only once.
    sizes = sorted((size(text) for text in options.sizes.split(",")), reverse=True)
    for kind in options.kinds.split(","):
        for direction in options.directions.split(","):
            if kind == "fresh" and direction == "to_device":
                continue
            for size_bytes in sizes:
                case = {"direction": direction, "kind": kind, "bytes": size_bytes}
                yield {**case, **{name: [] for name in names}}


def table(cases, names):
    print(f"{'':30}{'GB/s without':>14}{'with':>10}{'ratio':>8}", *names[2:], file=sys.stderr)
    for case in cases:
        line = f"{case['direction']} {case['kind']} {case['bytes']}".ljust(30)
        line += f"{case['median']['without']:14.3f}{case['median']['with']:10.3f}"
        for name in names[1:]:
            of = case[f"{name}/without"]
            line += f"{of['ratio']:8.3f}"
            if of["interval"]:
                line += " ({:.3f}-{:.3f})".format(*of["interval"])
        print(line, file=sys.stderr)


def start(name, options):
    """Starts the program without the interceptor, with it, or with a part of it, according to `name`."""
    env = {"CRIU_CUDA_INTERCEPT": name} if name in PARTS else {}
    return Asked([options.workload], None if name in ("without", "control") else options.interceptor, env)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--interceptor", required=True, type=os.path.abspath)
    parser.add_argument("--workload", required=True, type=os.path.abspath)
    parser.add_argument("--kinds", default="pageable,pinned")
    parser.add_argument("--directions", default="to_device,to_host")
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--couples", type=int, default=1)
    parser.add_argument("--also", default="", help="comma-separated: control, memory, memcpy")
    options = parser.parse_args()
    names = ["without", "with", *filter(None, options.also.split(","))]
    if not set(names[2:]) <= {"control", *PARTS}:
        parser.error(f"--also {options.also}: accepted: control, memory, memcpy")
    cases = list(all_cases(options, names))
    for number in range(options.couples):
        processes = {name: start(name, options) for name in turned(names, number)}
        for process in processes.values():
            process.ready()
        is_software = processes["without"].is_software
        if is_software and not number:
            print("software driver: the times mean nothing", file=sys.stderr)
        for case in cases:
            couple(processes, case, options.pairs)
        for process in processes.values():
            process.end()
    for case in cases:
        case.update(summary(case, names, options.pairs))
    table(cases, names)
    json.dump(
        {
            "schemaVersion": 2,
            "what": "copies",
            "environment": environment(is_software),
            "couples": options.couples,
            "pairs": options.pairs,
            "cases": cases,
        },
        sys.stdout,
        indent=1,
    )
    print()


if __name__ == "__main__":
    main()
