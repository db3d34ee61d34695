#!/usr/bin/env python3
"""Writes affine.json: what mlx makes of pseudo-random weights in every affine format, as digests.

    python3 -m venv .venv && .venv/bin/pip install "mlx[cpu]==0.32.4" numpy && .venv/bin/python affine.py > affine.json

For each format and kind of weights: the digest of the groups that mx.quantize makes (scale, bias and codes of one group
after the other), and that of mx.dequantize's floats. Weights are small integers times a power of two, which every type of
scales holds exactly; the Swift test makes the same ones. The digest is FNV-1a over bytes, and over the bits of floats.
"""
import json
import sys

import mlx.core as mx
import numpy as np

from decode import fnv, splitmix64

mx.set_default_device(mx.cpu)
KINDS = ["normal", "negative", "positive", "constant", "zero", "heavy", "tiny"]
ROWS, COLUMNS = 8, 384


def weights(kind):
    count = ROWS * COLUMNS
    data = splitmix64(KINDS.index(kind) + 1, count).view(np.uint8).reshape(count, 8).astype(np.int32)
    bell = (data[:, :4].sum(axis=1) >> 2) - 127
    values = {
        "normal": bell, "negative": -1 - data[:, 0], "positive": 1 + data[:, 0], "constant": 0 * bell + 93,
        "zero": 0 * bell, "heavy": bell << (data[:, 4] & 7), "tiny": bell,
    }[kind]
    return (values.astype(np.float32) * np.float32(2.0 ** (-20 if kind == "tiny" else -10))).reshape(ROWS, COLUMNS)


def bits16(array):
    return np.array(array.view(mx.uint16)).astype("<u2").view(np.uint8)


result = {}
for bits in (2, 3, 4, 5, 6, 8):
    for group in (32, 64, 128):
        for name, dtype in (("", mx.bfloat16), ("-f16", mx.float16)):
            digests = {}
            for kind in KINDS:
                w, s, b = mx.quantize(mx.array(weights(kind)).astype(dtype), group_size=group, bits=bits)
                groups = ROWS * COLUMNS // group
                codes = np.array(w).astype("<u4").view(np.uint8).reshape(groups, -1)
                blocks = np.concatenate([bits16(s).reshape(groups, 2), bits16(b).reshape(groups, 2), codes], axis=1)
                floats = mx.dequantize(w, s.astype(mx.float32), b.astype(mx.float32), group_size=group, bits=bits)
                words = np.array(floats).view(np.uint32).reshape(1, -1)
                digests[kind] = [f"{fnv(blocks.reshape(1, -1))[0]:016x}", f"{fnv(words)[0]:016x}"]
            result[f"{bits}bit/{group}{name}"] = digests
json.dump(result, sys.stdout, indent=0)
