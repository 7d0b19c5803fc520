# SPDX-License-Identifier: MIT
"""vLLM's LLM class behind the completions endpoint, for an engine that is forked or in the same process.

    llm_server.py MODEL PORT
"""

import sys

from http_face import serve
from vllm import LLM, SamplingParams


def main():
    model, port = sys.argv[1:]
    cache = {"gpu_memory_utilization": 0.05, "kv_cache_memory_bytes": 2 << 30}
    llm = LLM(model, load_format="dummy", max_model_len=2048, max_num_seqs=16, enforce_eager=True, **cache)

    def answer(request):
        wanted = SamplingParams(max_tokens=request["max_tokens"], temperature=0, ignore_eos=True)
        (result,) = llm.generate([request["prompt"]], wanted, use_tqdm=False)
        return {"choices": [{"text": result.outputs[0].text}]}

    serve(int(port), answer)


if __name__ == "__main__":
    main()
