# SPDX-License-Identifier: MIT
"""Shows on a machine with two GPUs that processes which use them together are dumped and restored as one.

    python3 benchmarks/groups/run.py --store DIR --output FILE [--rows NAME,…] [--criu-cuda PROGRAM] [--models DIR] [--limit SECONDS]
        [--ranks-program PROGRAM] [--memory-gib 16] [--restores 5] [--software]

Needs root and torch with NCCL. A row that needs what the machine lacks is skipped, and says what. FILE is written after each row.
`--software` runs all that can be without a GPU: on softcuda, with gloo instead of NCCL. Its times mean nothing.
"""

import argparse
import ctypes
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import Machine
from rows import ROWS

PR_SET_CHILD_SUBREAPER = 36
BUILD = Path(__file__).resolve().parent.parent.parent / "plugins-cuda/build"


def options_of(words):
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--rows")
    parser.add_argument("--criu-cuda", default="criu-cuda")
    parser.add_argument("--models")
    parser.add_argument("--limit", type=float)
    parser.add_argument("--ranks-program", default=str(BUILD / "bin/workload-ranks"))
    parser.add_argument("--memory-gib", type=float, default=16)
    parser.add_argument("--restores", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--logs")
    parser.add_argument("--software", action="store_true")
    return parser.parse_args(words)


class Bench:
    """What rows use."""

    def __init__(self, options):
        self.options, self.software = options, options.software
        self.output = Path(options.output).resolve()
        Path(options.store).mkdir(parents=True, exist_ok=True)
        logs = options.logs or tempfile.mkdtemp(prefix="criu-cuda-groups-logs-")
        if self.software:
            os.environ.setdefault("CRIU_CUDA_DRIVER", str(BUILD / "lib/softcuda/libcuda.so.1"))
            os.environ.setdefault("SOFTCUDA_DEVICES", "2")
        self.environ = dict(os.environ)
        self.machine = Machine(options.criu_cuda, options.store, logs)
        self.gpus = self.machine.gpus()
        self.ranks_program = options.ranks_program
        self.devices = min(2, len(self.gpus))
        self.node = find_node(options.criu_cuda)
        self.torch = torch_facts()

    def lacks(self, gpus, need):
        """What the machine lacks for a row; None if nothing."""
        if len(self.gpus) < gpus:
            return f"needs {gpus} GPUs; this machine has {len(self.gpus)}"
        if need == "ranks":
            return None if os.access(self.ranks_program, os.X_OK) else f"no {self.ranks_program}"
        if "error" in self.torch:
            return f"needs torch: {self.torch['error']}"
        if self.software:
            return "needs GPUs" if need == "vllm" else None
        if need == "vllm":
            return None if self.options.models else "needs --models"
        if not self.torch["cuda"] or (need == "nccl" and not self.torch["nccl"]):
            return "needs torch with CUDA and NCCL"
        return None


def find_node(program):
    beside = Path(program).resolve().parent / "node"
    return str(beside) if beside.exists() else "node"


def torch_facts():
    """In a process of its own: this one must not use CUDA."""
    words = "import json, torch; print(json.dumps({'torch': torch.__version__, 'cuda': torch.cuda.is_available(), "
    words += "'nccl': '.'.join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_nccl_available() else None}))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    if done.returncode != 0:
        return {"error": (done.stderr.strip().split("\n") or [""])[-1]}
    return json.loads(done.stdout)


def environment_of(bench):
    driver = json.loads(bench.machine.type("gpu", "--json"))
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "version": bench.machine.type("--version"),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "gpus": [gpu["name"] for gpu in driver["gpus"]],
        "driver": driver["driverVersion"],
        "software": bench.software,
        **bench.torch,
    }


def save(path, document):
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document, indent=1) + "\n")
    new.rename(path)


def run_row(bench, row, end):
    name, about, gpus, need, how = row
    result = {"row": name, "about": about}
    lacks = bench.lacks(gpus, need)
    begin = time.monotonic()
    if lacks is None and end is not None and begin > end:
        lacks = f"the {bench.options.limit:g} s of --limit are over"
    if lacks is not None:
        return {**result, "skipped": lacks}
    try:
        result.update(how(bench))
    except Exception as error:
        result["error"] = str(error) or repr(error)
    return {**result, "seconds": time.monotonic() - begin}


def line_of(result):
    if "skipped" in result:
        return f"skipped  {result['row']}: {result['skipped']}"
    if "error" in result:
        return f"FAILED   {result['row']} ({result['about']}): {result['error']}"
    words = [f"passed   {result['row']} ({result['about']})"]
    if "ratio" in result:
        words.append(f"ratio {result['ratio']:.3f}, wanted at most {result['atMost']}")
    if "ratios" in result:
        words.append(", ".join(f"{size} {ratio:.3f}" for size, ratio in result["ratios"].items()))
    if "moved" in result:
        words.append(f"{result['moved']} processes moved" if result["moved"] else "NVML does not tell where they are")
    if "steps" in result:
        words.append(f"dumped after {', '.join(map(str, result['stepsAtDumps']))} of {result['steps']} steps")
    if result.get("transports"):
        words.append(f"NCCL by {', '.join(result['transports'])}")
    if "restores" in result:
        times = [one["answeredMs"] for one in result["restores"]]
        words.append(f"dump {result['dumped']['typedMs']:.0f} ms, restore to answer {statistics.median(times):.0f} ms")
    return "; ".join([*words, f"{result['seconds']:.0f} s"])


def main():
    options = options_of(sys.argv[1:])
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    by_name = {row[0]: row for row in ROWS}
    names = options.rows.split(",") if options.rows else list(by_name)
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise SystemExit(f"there is no row {', '.join(unknown)}; rows: {', '.join(by_name)}")
    end = None if options.limit is None else time.monotonic() + options.limit
    bench = Bench(options)
    document = {"environment": environment_of(bench), "rows": []}
    for name in names:
        document["rows"].append(run_row(bench, by_name[name], end))
        save(bench.output, document)
        print(line_of(document["rows"][-1]), flush=True)
    failed = [one["row"] for one in document["rows"] if "error" in one]
    sys.exit(f"{len(failed)} rows failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
