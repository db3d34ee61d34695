#!/usr/bin/env python3
"""fixture_model.py NAME OUT: a model of Tests/FamilyTests/Fixtures as a Hugging Face directory, with a tokenizer of this tree.

The fixtures hold config.json and the shapes; weights follow from the tensors' names, as in the tests (Family.swift).
Lengths are raised to 4096 tokens, so that windows of 512 and 2048 are within the context and the selection of indexers,
whose heads get the 64 elements that llama.cpp's rotation of them needs.
Needs numpy.
"""
import json
import pathlib
import shutil
import struct
import sys

import numpy as np

TESTS = pathlib.Path(__file__).resolve().parents[1]
FIXTURES = TESTS / "FamilyTests/Fixtures"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.json"))
RAISED = {"max_position_embeddings": 4096, "index_topk": 4096, "index_head_dim": 64}
INDEXER = 4


def values(name, shape, offset, exponent):
    """The values in BF16: a byte for each element, from splitmix64 of a hash (FNV-1a) of the name."""
    state = 0xCBF29CE484222325
    for byte in name.encode(): state = (state ^ byte) * 0x100000001B3 % 2 ** 64
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, -(-count // 8) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    steps = z.view(np.int8)[:count].astype(np.float32)
    if offset: steps = np.floor(steps / 4)
    floats = (offset + steps * 2.0 ** -exponent).astype(np.float32)
    return (floats.view(np.uint32) >> 16).astype("<u2").tobytes()


def raised(config):
    return {key: raised(value) if isinstance(value, dict) else RAISED.get(key, value) if value else value
            for key, value in config.items()}


def write(name, out):
    fixture = json.loads((FIXTURES / f"{name}.json").read_text())
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "config.json").write_text(json.dumps(raised(fixture["config"])))
    header, parts, offset = {}, [], 0
    for tensor, (shape, shift, exponent) in sorted(fixture["stored"].items()):
        if ".indexer." in tensor and "weights_proj" not in tensor: shape = [INDEXER * shape[0]] + shape[1:]
        parts.append(values(tensor, shape, shift, exponent))
        header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + len(parts[-1])]}
        offset += len(parts[-1])
    text = json.dumps(header).encode()
    (out / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))
    for file in (TESTS / "CommandTests/Fixtures/reference/tokenizer").iterdir(): shutil.copy(file, out / file.name)


if __name__ == "__main__": write(sys.argv[1], pathlib.Path(sys.argv[2]))
