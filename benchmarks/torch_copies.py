# SPDX-License-Identifier: MIT
"""Compares PyTorch's copies with and without the interceptor: their bytes, and the time to load a model's weights.

    torch_copies.py check   --interceptor LIB
    torch_copies.py weights --interceptor LIB --file DIR/weights.safetensors [--gb 3] [--rounds N]

`check` runs every case of `cases()` twice, in a process with the interceptor and in one without it: dtypes, strides,
sizes around the threshold, pinned and pageable memory, blocking or not, streams, events, threads, a graph capture. Each
result is a digest; exit code 1 when two differ or a process fails. `weights` starts a process for each sample,
alternately with and without the interceptor. It loads the file to the GPU with safetensors and with torch.load (missing
files are created and are then in the page cache). Prints all samples and the medians. Results are JSON on stdout.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time

MIB = 1 << 20
SLEEP_CYCLES = 200_000_000  # GPU cycles: about 0.1 s


def digest(tensor):
    import torch

    flat = tensor.detach().cpu().contiguous().view(-1)
    flat = torch.view_as_real(flat).contiguous().view(-1) if flat.is_complex() else flat
    return hashlib.sha256(flat.view(torch.uint8).numpy().tobytes()).hexdigest()[:16]


def bytes_of(count, seed):
    import torch

    return torch.randint(0, 256, (count,), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def source(dtype, size_bytes, seed):
    import torch

    count = max(size_bytes // dtype.itemsize, 1)
    raw = bytes_of(count * dtype.itemsize, seed)
    return raw % 2 == 0 if dtype == torch.bool else raw.view(dtype)


def dtypes():
    import torch

    names = "uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128 bool float8_e4m3fn"
    return [getattr(torch, name) for name in names.split() if hasattr(torch, name)]


def plain_copies(threshold):
    """Copies every dtype and size to the device and back, from pinned and pageable memory, blocking or not."""
    import torch

    sizes = (4096, threshold - 16, threshold, threshold + 16, 3 * threshold + 4096)
    for number, dtype in enumerate(dtypes()):
        for size in sizes:
            host = source(dtype, size, number)
            for pinned in (False, True):
                for non_blocking in (False, True):
                    start = host.pin_memory() if pinned else host
                    there = start.to("cuda", non_blocking=non_blocking)
                    back = torch.empty_like(start, device="cpu", pin_memory=pinned)
                    back.copy_(there, non_blocking=non_blocking)
                    if pinned:
                        torch.cuda.synchronize()
                    name = f"{dtype} {size} {'pinned' if pinned else 'pageable'} {non_blocking}"
                    yield name, digest(back)
                    yield f"{name} on the device", digest(there.clone())


def strided_copies(threshold):
    import torch

    host = source(torch.float32, 8 * threshold, 50).view(-1, 1024)
    views = {
        "transposed": host.t(),
        "every second": host[:, ::2],
        "offset": host.view(-1)[1:],
        "expanded": host[:1].expand(4096, 1024),
        "block": host[5:, 7:1000],
        "one": host[3, 3],
    }
    for name, view in views.items():
        there = view.to("cuda")
        yield f"strided {name} there", digest(there)
        yield f"strided {name} to float16", digest(view.to("cuda", torch.float16))
        for device, start in (("cuda", view), ("cpu", there)):
            target = torch.zeros(host.numel() + 8, device=device)
            part = torch.as_strided(target, view.shape, view.contiguous().stride(), 1)
            part.copy_(start, non_blocking=True)
            torch.cuda.synchronize()
            yield f"strided {name} into a part, {device}", digest(target)


def reuse_of_source(threshold):
    """The program may change a pageable source when the call returns, even if the copy is non-blocking."""
    import torch

    for size in (threshold // 2, threshold, 16 * threshold):
        host = source(torch.uint8, size, 60)
        there = torch.empty(size, dtype=torch.uint8, device="cuda")
        there.copy_(host, non_blocking=True)
        host.zero_()
        torch.cuda.synchronize()
        yield f"reuse {size}", digest(there)


def order_in_a_stream(threshold):
    """Earlier work in the stream sees the old bytes, later work the new ones, as do other streams after an event."""
    import torch

    for size in (threshold // 2, threshold, 16 * threshold):
        old, new = source(torch.uint8, size, 70).to("cuda"), source(torch.uint8, size, 71)
        first, second = torch.cuda.Stream(), torch.cuda.Stream()
        event = torch.cuda.Event()
        torch.cuda.synchronize()
        with torch.cuda.stream(first):
            torch.cuda._sleep(SLEEP_CYCLES)
            before = old.clone()
            old.copy_(new, non_blocking=True)
            after = old ^ 0x55
            event.record()
        with torch.cuda.stream(second):
            second.wait_event(event)
            seen = old + 1
            home = torch.empty(size, dtype=torch.uint8)
            home.copy_(seen, non_blocking=True)
            unsynchronized = digest(home)
        torch.cuda.synchronize()
        for name, tensor in (("before", before), ("after", after), ("seen", seen)):
            yield f"order {size} {name}", digest(tensor)
        yield f"order {size} home", unsynchronized


def threads_at_once(threshold):
    import torch

    results = {}

    def work(number):
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            host = source(torch.uint8, (number + 1) * threshold + number, 80 + number)
            for _ in range(4):
                there = host.to("cuda", non_blocking=True)
                host = (there + 1).cpu()
        results[number] = digest(host)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(6):
        yield f"thread {number}", results[number]


def during_a_capture(threshold):
    """Another thread copies while this one captures a graph, which must then work."""
    import torch

    x = torch.arange(1024, device="cuda", dtype=torch.float32)
    x * 2  # load the kernel before the capture
    torch.cuda.synchronize()
    graph, begun, copied = torch.cuda.CUDAGraph(), threading.Event(), threading.Event()
    results = []

    def copy():
        begun.wait()
        stream = torch.cuda.Stream()
        try:
            with torch.cuda.stream(stream):
                there = landing.copy_(host, non_blocking=True)
                stream.synchronize()
            results.append(there)
        finally:
            copied.set()

    host = source(torch.uint8, 4 * threshold, 90)
    landing = torch.empty_like(host, device="cuda")
    thread = threading.Thread(target=copy)
    thread.start()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        y = x * 2
        begun.set()
        copied.wait()
    thread.join()
    graph.replay()
    torch.cuda.synchronize()
    yield "capture graph", digest(y)
    yield "capture copy", digest(results[0])


def cases(threshold):
    for group in (
        plain_copies,
        strided_copies,
        reuse_of_source,
        order_in_a_stream,
        threads_at_once,
        during_a_capture,
    ):
        yield from group(threshold)


def run_cases():
    threshold = int(os.environ.get("CRIU_CUDA_MEMCPY_MIN_MB", "16")) * MIB
    # The interceptor ignores programs that copy little, so copy more first.
    source(dtypes()[0], 16 * threshold, 1).to("cuda")
    print(json.dumps(dict(cases(threshold))))


def make_weights(path, gigabytes):
    import torch
    from safetensors.torch import save_file

    if os.path.exists(path) and os.path.exists(path + ".pt"):
        return
    # Sizes as in a model: a few large matrices and layers of 32 to 128 MiB.
    left, weights = int(gigabytes * 1e9), {}
    sizes = [512 * MIB] + [32 * MIB, 32 * MIB, 128 * MIB, 128 * MIB, 8192] * 1000
    for number, size in enumerate(sizes):
        size = min(size, left // 2 * 2)
        if not size:
            break
        weights[f"layer.{number}"] = bytes_of(size, number).view(torch.bfloat16)
        left -= size
    save_file(weights, path)
    torch.save(weights, path + ".pt")


def run_load(path):
    """Takes one sample of each way to load, after some use of the GPU."""
    import torch
    from safetensors.torch import load_file

    torch.zeros(1, device="cuda")
    torch.cuda.synchronize()
    answer = {}
    loads = {
        "safetensors": lambda: load_file(path, device="cuda"),
        "torch.load": lambda: torch.load(path + ".pt", map_location="cuda", weights_only=True),
        "torch.load, mmap": lambda: torch.load(path + ".pt", map_location="cuda", weights_only=True, mmap=True),
        "safetensors, then to(cuda)": lambda: {n: t.to("cuda") for n, t in load_file(path).items()},
    }
    for name, load in loads.items():
        start = time.perf_counter()
        weights = load()
        torch.cuda.synchronize()
        answer[name] = {"seconds": time.perf_counter() - start, "bytes": sum(t.nbytes for t in weights.values())}
        checks = [int(t.view(torch.int16).to(torch.int64).sum()) for t in weights.values()]
        answer[name]["digest"] = hashlib.sha256(repr(sorted(checks)).encode()).hexdigest()[:16]
        del weights
        torch.cuda.empty_cache()
    print(json.dumps(answer))


def child(arguments, preload):
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    if preload:
        env["LD_PRELOAD"] = preload
    command = [sys.executable, os.path.abspath(__file__), *arguments]
    done = subprocess.run(command, env=env, text=True, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} {'with' if preload else 'without'}: status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def check(options):
    without, with_it = child(["cases"], None), child(["cases"], options.interceptor)
    differ = sorted(n for n in without.keys() | with_it.keys() if without.get(n) != with_it.get(n))
    whole = [hashlib.sha256(json.dumps(d, sort_keys=True).encode()).hexdigest() for d in (without, with_it)]
    print(json.dumps({"cases": len(without), "without": whole[0], "with": whole[1], "differ": differ}, indent=1))
    return 1 if differ else 0


def weights(options):
    make_weights(options.file, options.gb)
    samples = {"without": [], "with": []}
    for number in range(options.rounds + 1):
        for side in ("without", "with") if number % 2 else ("with", "without"):
            sample = child(["load", options.file], options.interceptor if side == "with" else None)
            # The first round brings the files into the page cache and does not count.
            if number:
                samples[side].append(sample)
    ways, digests = {}, set()
    for way in samples["with"][0]:
        seconds = {side: [sample[way]["seconds"] for sample in samples[side]] for side in samples}
        digests |= {sample[way]["digest"] for side in samples.values() for sample in side}
        median = {side: statistics.median(values) for side, values in seconds.items()}
        ways[way] = {
            "bytes": samples["with"][0][way]["bytes"],
            "seconds": seconds,
            "median": median,
            "faster": median["without"] / median["with"],
        }
    print(json.dumps({"ways": ways, "sameBytes": len(digests) == 1}, indent=1))
    return 0 if len(digests) == 1 else 1


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("check", "weights"):
        command = commands.add_parser(name)
        command.add_argument("--interceptor", required=True, type=os.path.abspath)
        if name == "weights":
            command.add_argument("--file", required=True)
            command.add_argument("--gb", type=float, default=3)
            command.add_argument("--rounds", type=int, default=5)
    commands.add_parser("cases")
    commands.add_parser("load").add_argument("file")
    options = parser.parse_args()
    if options.command == "cases":
        run_cases()
    elif options.command == "load":
        run_load(options.file)
    else:
        sys.exit({"check": check, "weights": weights}[options.command](options))


if __name__ == "__main__":
    main()
