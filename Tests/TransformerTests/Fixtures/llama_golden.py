#!/usr/bin/env python3
"""Writes `<name>.llama.gguf` beside the golden models: llama.cpp's logits, in single precision throughout.

    python3 llama_golden.py      # needs xllamacpp, gguf, numpy

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

# It asks deepseek2 models of two layers for a query rank, which this case lacks.
REFUSED = {"deepseek2-v2"}


def write_f32(source, target):
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            writer.add_key_value(name, field.contents(), field.types[0], field.types[-1] if field.types[1:] else None)
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


with tempfile.TemporaryDirectory() as folder:
    for path in sorted(HERE.glob("*.golden.gguf")):
        name = path.name.removesuffix(".golden.gguf")
        if name in REFUSED:
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
        writer = gguf.GGUFWriter(HERE / f"{name}.llama.gguf", "golden")
        writer.add_tensor("logits", found)
        finish(writer)
