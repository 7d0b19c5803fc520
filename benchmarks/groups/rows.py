# SPDX-License-Identifier: MIT
"""The rows of run.py: what each needs, and what it does. A row returns its figures, or raises Failed."""

import json
import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import ENVIRONMENT, Failed

HERE = Path(__file__).resolve().parent
LEGACY_IPC = {"NCCL_CUMEM_ENABLE": "0"}
SIZES_MIB = (1, 16, 256)
# A step of the training takes some milliseconds: so a dump in the middle finds collectives in progress.
BUSY_STEPS = 20


def median(values):
    return statistics.median(list(values))


class Training:
    """Two runs of the same training: one is left alone, the other is dumped and restored."""

    def __init__(self, bench, name, flags=(), env=None, backend=None):
        self.bench, self.name, self.env = bench, name, env
        self.steps = bench.options.steps
        software = ["--cpu"] if bench.software else []
        backend = "gloo" if bench.software else backend or "nccl"
        self.words = [sys.executable, HERE / "training.py", "--backend", backend, *software, "--memory", "64", *flags]

    def start(self):
        program = self.bench.machine.start(self.name, self.words, self.env)
        program.ask("check")
        return program

    def expected(self):
        """The losses and weights of a run without a dump, half by half."""
        program = self.start()
        try:
            results = []
            for _ in range(3):
                program.ask(f"begin {self.steps}")
                results.append(program.ask("result"))
            return results, self.transports(program)
        finally:
            program.end()

    @staticmethod
    def transports(program):
        """How NCCL's ranks are connected, from its log."""
        lines = [line for line in program.log.read_text(errors="replace").split("\n") if " via " in line]
        return sorted({line.rpartition(" via ")[2].split()[0] for line in lines})

    def begin(self, program):
        """Starts as many steps as the other run has done, and waits until some are done."""
        before = int(program.ask("steps"))
        program.ask(f"begin {self.steps}")
        while int(program.ask("steps")) < before + BUSY_STEPS:
            time.sleep(0.002)

    def compare(self, program, expected, when):
        if program.ask("result") != expected:
            raise Failed(f"{self.name}: other losses or weights {when}")
        program.ask("check")

    def run(self, swap=None):
        """Rolled back and left running in the first part, dumped and restored twice in the second; the third ends it."""
        expected, transports = self.expected()
        program = self.start()
        try:
            self.begin(program)
            done = [int(program.ask("steps"))]
            program.dump_that_fails()
            done.append(int(program.ask("steps")))
            program.dump("--leave-running")
            self.compare(program, expected[0], "after a dump that failed and one that left it running")
            self.begin(program)
            if swap:
                swap.look(list(map(int, program.ask("pids").split())))
            done.append(int(program.ask("steps")) - self.steps)
            dumped, restores = program.dump(), []
            for round_ in range(2):
                restores.append(program.restore("steps", swap and swap.env))
                self.compare(program, expected[1], f"after restore {round_ + 1}")
                if swap:
                    swap.compare()
                if round_ == 0:
                    program.end()
            self.begin(program)
            self.compare(program, expected[2], "in the steps after that")
            moved = {"moved": len(swap.before)} if swap else {}
            figures = {"transports": transports, "stepsAtDumps": done, "steps": self.steps, **moved}
            return {**figures, "dumped": dumped, "restores": restores}
        finally:
            program.end()


def training(name, **named):
    return lambda bench: Training(bench, name, **named).run()


def homes(bench, pids):
    """The GPU on which each process has most of its memory; {} where NVML does not tell."""
    most = {}
    for one in json.loads(bench.machine.type("context", "list", "--json"))["contexts"]:
        used = one["usedBytes"] or 0
        if one["pid"] in pids and used > most.get(one["pid"], (0, None))[0]:
            most[one["pid"]] = (used, one["deviceUuid"])
    return {pid: uuid for pid, (_, uuid) in most.items()}


class Swap:
    """Restores that move what is on one GPU to the other, and a look at where it is."""

    def __init__(self, bench):
        first, second = bench.machine.gpus()[:2]
        self.bench, self.before = bench, {}
        self.env = {"CRIU_CUDA_DEVICE_MAP": f"{first}={second},{second}={first}"}

    def look(self, pids):
        self.before = homes(self.bench, pids)

    def compare(self):
        after = homes(self.bench, self.before)
        same = [pid for pid, uuid in self.before.items() if after.get(pid) == uuid]
        if same:
            raise Failed(f"the memory of {same} is on the GPU of the dump: {after}")


def training_swapped(bench):
    """The ranks change places: what rank 0 had on one GPU is on the other one."""
    return Training(bench, "training-swapped").run(Swap(bench))


def ranks(name, *flags, is_swapped=False):
    """workload-ranks: every word of all buffers is compared after each of two restores."""

    def run(bench):
        program = bench.machine.start(
            name,
            [bench.ranks_program, "--ranks", "2", "--devices", str(bench.devices), "--words", "4096", "--alloc", "64", *flags],
            {"SOFTCUDA_DEVICES": str(bench.devices)},
            request="status",
        )
        swap = Swap(bench) if is_swapped else None
        try:
            program.ask("start")
            program.ask("await 50")
            program.dump_that_fails()
            program.dump("--leave-running")
            if swap:
                status = program.ask("status")
                swap.look(list(map(int, status.rpartition("pids=")[2].split(","))))
            dumped, restores = program.dump(), []
            for round_ in range(2):
                restores.append(program.restore("status", swap and swap.env))
                if swap:
                    swap.compare()
                program.ask(f"await {200 * (round_ + 1)}")
                program.ask("stop")
                program.ask("sum")
                if round_ == 0:
                    program.end()
            moved = {"moved": len(swap.before)} if swap else {}
            return {**moved, "dumped": dumped, "restores": restores}
        finally:
            program.end()

    return run


def memory_of(bench, count):
    """Restores of ranks that have so much memory each."""
    mib = int(bench.options.memory_gib * 1024)
    name = f"memory-{count}"
    software = ["--cpu"] if bench.software else []
    backend = "gloo" if bench.software else "nccl"
    words = [sys.executable, HERE / "training.py", "--backend", backend, "--ranks", count, *software, "--memory", mib]
    program = bench.machine.start(name, list(map(str, words)))
    try:
        program.ask("begin 5")
        program.ask("result")
        dumped, restores = program.dump(), []
        for round_ in range(bench.options.restores):
            restores.append(program.restore())
            if round_ in (0, bench.options.restores - 1):
                program.ask("check")
            program.end()
        return {"dumped": dumped, "restores": restores}
    finally:
        program.end()
        shutil.rmtree(program.images, ignore_errors=True)


def memory(bench):
    """Two ranks beside one."""
    found = {count: memory_of(bench, count) for count in (1, 2)}
    times = {count: median(one["answeredMs"] for one in found[count]["restores"]) for count in found}
    return {**{f"ranks{count}": found[count] for count in found}, "ratio": times[2] / times[1], "atMost": 1.25}


class AllReduce:
    """Two ranks that answer sizes."""

    def __init__(self, bench, is_intercepted):
        flags = [] if is_intercepted else ["--no-intercept"]
        software = ["--cpu", "--backend", "gloo"] if bench.software else []
        words = [bench.options.criu_cuda, "run", "--quiet", *flags, "--", sys.executable, HERE / "bandwidth.py", *software]
        env = {**bench.environ, **ENVIRONMENT, "NCCL_DEBUG": "WARN"}
        begin = time.monotonic()
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(list(map(str, words)), env=env, stdin=pipe, stdout=pipe, text=True)
        self.first_ms = self.read()["firstMs"]
        self.start_ms = 1000 * (time.monotonic() - begin)

    def read(self):
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise Failed(f"bandwidth.py has ended: {self.process.wait()}")
            if line.startswith("{"):
                return json.loads(line)

    def measure(self, mib):
        self.process.stdin.write(f"{mib}\n")
        self.process.stdin.flush()
        return self.read()["gbPerS"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def bandwidth(bench):
    """Pairs of two processes with the interceptor and two without, in turn; which is first is drawn."""
    pairs, draw = [], random.Random(1)
    for _ in range(bench.options.pairs):
        pair = {}
        for is_intercepted in draw.sample([True, False], 2):
            ends = AllReduce(bench, is_intercepted)
            figures = {"startMs": ends.start_ms, "firstMs": ends.first_ms}
            figures.update({f"{mib} MiB": ends.measure(mib) for mib in SIZES_MIB})
            ends.end()
            pair["with" if is_intercepted else "without"] = figures
        pairs.append(pair)
    names = [f"{mib} MiB" for mib in SIZES_MIB]
    ratios = {name: median(pair["with"][name] / pair["without"][name] for pair in pairs) for name in names}
    start = median(pair["with"]["startMs"] - pair["without"]["startMs"] for pair in pairs)
    return {"pairs": pairs, "ratios": ratios, "atLeast": 0.99, "startMsMore": start}


def vllm(bench):
    """benchmarks/servers starts vLLM, compares its greedy answers, and measures the first token after each restore."""
    file = bench.output.with_suffix(".vllm.json")
    file.unlink(missing_ok=True)
    words = [bench.node, HERE.parent / "servers/run.mjs", "--models", bench.options.models, "--store", bench.machine.store]
    words += ["--output", file, "--rows", "vllm-8b-eager,vllm-8b-two-gpus", "--together", "--restores", bench.options.restores]
    words += ["--criu-cuda", bench.options.criu_cuda, "--keep-logs", bench.machine.logs]
    done = subprocess.run(list(map(str, words)), env={**bench.environ, **ENVIRONMENT}, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{done.stdout}{done.stderr}"[-3000:])
    rows = json.loads(file.read_text())["rows"]
    one, two = (median(restore["firstAnswerMs"] for restore in row["restores"]) for row in rows)
    return {"servers": rows, "ratio": two / one, "atMost": 1.25, "sameAnswersAsOne": rows[0]["expected"] == rows[1]["expected"]}


# Name, what it shows, how many GPUs it needs, what else, and how.
ROWS = (
    ("ranks-vmm", "memory shared by descriptors, read by every rank", 2, "ranks", ranks("ranks-vmm")),
    ("ranks-ipc", "memory shared by CUDA IPC", 2, "ranks", ranks("ranks-ipc", "--share", "ipc")),
    ("ranks-swapped", "the same as ranks-vmm, restored on each other's GPU", 2, "ranks", ranks("ranks-swapped", is_swapped=True)),
    ("training-gloo", "DDP with gloo, two ranks also on one GPU", 1, "torch", training("training-gloo", backend="gloo")),
    (
        "training-gloo-loaders",
        "the same with two data loaders each",
        1,
        "torch",
        training("training-gloo-loaders", backend="gloo", flags=("--loaders", "2")),
    ),
    ("training", "DDP with NCCL, P2P", 2, "nccl", training("training")),
    ("training-ipc", "the same with NCCL_CUMEM_ENABLE=0", 2, "nccl", training("training-ipc", env=LEGACY_IPC)),
    ("training-swapped", "the same as training, restored on each other's GPU", 2, "nccl", training_swapped),
    ("training-loaders", "DDP whose ranks have two data loaders each", 2, "nccl", training("training-loaders", flags=("--loaders", "2"))),
    ("memory", "a restore of two ranks beside one of one rank", 2, "nccl", memory),
    ("bandwidth", "all-reduces with and without the interceptor", 2, "nccl", bandwidth),
    ("vllm", "vLLM on two GPUs beside one", 2, "vllm", vllm),
)
