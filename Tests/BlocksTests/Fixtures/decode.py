#!/usr/bin/env python3
"""Writes decode.json: what gguf-py makes of 100,000 pseudo-random blocks of each type, as digests.

    python3 -m venv .venv && .venv/bin/pip install gguf numpy && .venv/bin/python decode.py > decode.json

The bytes come from splitmix64 (seed = the type's id), eight bytes a step, little-endian; the Swift test makes the same
ones, so halves of every kind occur as scales: zero, subnormal, infinite, NaN. The digest is FNV-1a over the little-
endian bits of the decoded floats, 32 bits at a time, with every NaN as 0x7fc00000: NaN payloads depend on the machine.
One digest is kept per 1,000 blocks, so that a difference can be found.
"""
import json
import sys

import numpy as np

TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ1_S", "IQ1_M", "IQ2_XXS",
         "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0", "MXFP4", "BF16", "F16"]
BLOCKS, GROUP = 100_000, 1_000


def splitmix64(seed, count):
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def fnv(words):
    """Digest of each row of 32-bit words, all rows at once."""
    h = np.full(len(words), 0xCBF29CE484222325, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in words.T:
            h = (h ^ column.astype(np.uint64)) * np.uint64(0x100000001B3)
    return h


def main():
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    result = {}
    for name in TYPES:
        kind = GGMLQuantizationType[name]
        elements, size = GGML_QUANT_SIZES[kind]
        total = size * BLOCKS
        data = splitmix64(int(kind), (total + 7) // 8).view(np.uint8)[:total].reshape(BLOCKS, size)
        with np.errstate(all="ignore"):
            floats = np.ascontiguousarray(dequantize(data, kind).astype(np.float32)).reshape(BLOCKS, elements)
        words = floats.view(np.uint32).copy()
        words[np.isnan(floats)] = 0x7FC00000
        result[name] = [f"{d:016x}" for d in fnv(words.reshape(BLOCKS // GROUP, GROUP * elements))]
        print(name, file=sys.stderr)
    json.dump(result, sys.stdout, indent=0)


if __name__ == "__main__":
    main()
