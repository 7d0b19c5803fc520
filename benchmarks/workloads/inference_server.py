# SPDX-License-Identifier: MIT
"""An inference server with OpenAI's HTTP API and a Qwen2 model with random weights, which benchmarks restore.

    inference_server.py --model-dir DIR [--config NAME|FILE.json] [--kv-gib 4] [--port 8000]

The first start creates the weights from a seed and saves them in DIR as safetensors; --prepare exits after that. Later
starts are those of any server: import, load, listen. It listens once it can answer. It is one process without a
tokenizer (see inference/face.py), uses no network but its port, and exits on SIGTERM. Needs torch, transformers and
aiohttp.
"""

import argparse
import importlib.util
import sys

NEEDED = ("torch", "transformers", "safetensors", "aiohttp")
GIB = 1 << 30


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model-dir", required=True, help="safetensors and config.json; made if missing")
    parser.add_argument("--config", default="qwen2-1.5b", help="of weights that are to be made: a name, or a JSON file")
    parser.add_argument("--kv-gib", type=float, default=4, help="size of the key-value cache, which is filled")
    parser.add_argument("--slot-tokens", type=int, default=4096, help="room for one request, prompt and answer")
    parser.add_argument("--device", default="cuda", help="of torch")
    parser.add_argument("--prepare", action="store_true", help="make the weights if they are missing, and end")
    return parser.parse_args()


def main():
    options = parse_options()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"inference_server.py needs {', '.join(NEEDED)}; not installed: {', '.join(missing)}")
    from inference.engine import Engine, make_weights, read_config
    from inference.face import serve

    make_weights(read_config(options.config), options.model_dir, options.device)
    if options.prepare:
        return
    engine = Engine(options.model_dir, int(options.kv_gib * GIB), options.slot_tokens, options.device)
    serve(engine, options.host, options.port)


if __name__ == "__main__":
    main()
