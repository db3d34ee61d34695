#!/usr/bin/env python3
"""Writes `<name>.llama.gguf` beside the golden models: llama.cpp's logits, in single precision throughout. Of VARIANTS,
whose keys differ from the model's, `<variant>.llama.gguf`.

    python3 llama_golden.py [NAME ...]      # needs xllamacpp, gguf, numpy

llama.cpp rounds activations to the type of the weights, so it gets a copy of each model in F32, which holds the same
numbers. Prints how far it is from `transformers`, with the copy and with the F16 file itself.
"""
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "Interop"))
from llama import Llama  # noqa: E402

# It asks deepseek2 models of two layers for a query rank, which this case lacks; the other is a text of another case.
REFUSED = {"deepseek2-v2", "gemma3-long"}
# Names of cases; all without any.
WANTED = set(sys.argv[1:])

# Magnitudes of a rotation that no configuration of golden.py has: GGUF's keys of it, None for those that go.
VARIANTS = {
    "qwen2-yarn-factor": ("qwen2-yarn", {"attn_factor": 1.25}),
    "deepseek2-v3-spread": ("deepseek2-v3", {"attn_factor": 1.25, "yarn_log_multiplier": -0.05}),
    "deepseek2-v3-plain": ("deepseek2-v3", {"yarn_log_multiplier": None}),
    "deepseek2-v3-linear": ("deepseek2-v3", {"type": "linear", "yarn_log_multiplier": 0.05}),
}


def write_f32(source, target, changes={}):
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        key = name.rpartition(".rope.scaling.")[2]
        if key in changes:
            continue
        if not name.startswith("GGUF.") and name != "general.architecture":
            writer.add_key_value(name, field.contents(), field.types[0], field.types[-1] if field.types[1:] else None)
    for key, value in changes.items():
        if value is not None:
            add = writer.add_string if isinstance(value, str) else writer.add_float32
            add(f"{writer.arch}.rope.scaling.{key}", value)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.asarray(tensor.data, np.float32))
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits(path, windows, exact):
    model = Llama(path, windows.shape[1], exact)
    result = np.stack([model.logits(window) for window in windows])
    model.close()
    return result


def save(name, found):
    writer = gguf.GGUFWriter(HERE / f"{name}.llama.gguf", "golden")
    writer.add_tensor("logits", found)
    finish(writer)


with tempfile.TemporaryDirectory() as folder:
    for path in sorted(HERE.glob("*.golden.gguf")):
        name = path.name.removesuffix(".golden.gguf")
        if name in REFUSED or WANTED and name not in WANTED:
            continue
        golden = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
        copy = Path(folder) / f"{name}.gguf"
        write_f32(HERE / f"{name}.gguf", copy)
        found = logits(copy, golden["tokens"], True)
        rounded = logits(HERE / f"{name}.gguf", golden["tokens"], False)
        expected = golden["logits"]
        scale = np.sqrt((expected ** 2).mean())
        print(f"{name}: worst difference by the root mean square of all logits: {abs(found - expected).max() / scale:.1e} "
              f"in F32, {abs(rounded - expected).max() / scale:.1e} as it comes")
        save(name, found)
    for variant, (name, changes) in VARIANTS.items():
        if WANTED and variant not in WANTED:
            continue
        golden = {tensor.name: tensor.data for tensor in gguf.GGUFReader(HERE / f"{name}.golden.gguf").tensors}
        write_f32(HERE / f"{name}.gguf", copy, changes)
        save(variant, logits(copy, golden["tokens"], True))
