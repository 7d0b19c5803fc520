# SPDX-License-Identifier: MIT
"""Measures what the interceptor costs a program: throughput with it relative to throughput without it, in pairs.

Two processes of the same program run at the same time, one of them with the interceptor. They are asked alternately,
and each is asked first in every other pair. Two processes differ by chance (addresses, cores), so several couples are
started one after the other. The program answers a line on its stdin with a line of JSON that has "tokens_per_s" and
"digest"; its first line means that it is ready (workloads/torch_decode.py). Prints JSON with all samples on stdout.
Exit code 1 when the results of the two differ.

    decode_pairs.py --interceptor LIB [--couples N] [--pairs N] -- PROGRAM…
"""

import argparse
import json
import os
import statistics
import sys

from pairs import Asked, interval


def couple(options, number):
    """Yields the pairs of one couple of processes, without the first one, which does not count."""
    plain, under = Asked(options.program, None), Asked(options.program, options.interceptor)
    plain.ready()
    under.ready()
    for pair in range(options.pairs + 1):
        first, second = (plain, under) if pair % 2 else (under, plain)
        answers = {first: first.ask(), second: second.ask()}
        if pair:
            without, with_it = answers[plain], answers[under]
            yield {
                "couple": number,
                "first": "without" if first is plain else "with",
                "without": without,
                "with": with_it,
                "ratio": with_it["tokens_per_s"] / without["tokens_per_s"],
            }
    plain.end()
    under.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--interceptor", required=True, type=os.path.abspath)
    parser.add_argument("--couples", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=4, help="number of pairs per couple that count")
    parser.add_argument("program", nargs="+")
    options = parser.parse_args()
    if not os.path.exists(options.interceptor):
        parser.error(f"{options.interceptor} does not exist")
    samples = []
    for number in range(options.couples):
        samples += couple(options, number)
        print(f"couple {number + 1} of {options.couples} done", file=sys.stderr)

    def median(key, number=None):
        return statistics.median(key(s) for s in samples if number in (None, s["couple"]))

    digests = sorted({sample[side]["digest"] for sample in samples for side in ("with", "without")})
    of_couples = [median(lambda s: s["ratio"], number) for number in range(options.couples)]
    result = {
        "program": options.program,
        "pairs": len(samples),
        "ratio": median(lambda s: s["ratio"]),
        "ratio_of_couples": of_couples,
        "interval": interval(of_couples),
        "tokens_per_s": {
            "with": median(lambda s: s["with"]["tokens_per_s"]),
            "without": median(lambda s: s["without"]["tokens_per_s"]),
        },
        "digests": digests,
        "samples": samples,
    }
    print(json.dumps(result, indent=2))
    if len(digests) > 1:
        raise SystemExit(f"the results differ: digests {', '.join(digests)}")


if __name__ == "__main__":
    main()
