#!/usr/bin/env python3
"""mlx_directories.py QTOOL [NAME ...]: MLX directories of small random models of every family, judged by mlx_lm.

Each is loaded strictly, also where config.json lacks all keys that have their defaults, and its logits of a text in single
precision are qtool's: at the second half of every window, of all tokens but a tail of a thousandth, log-probabilities differ by
at most 1e-5 of the largest. Skipped with a message where python has no mlx. Prints a line a check, and ends with '<n> passed, <n> failed'.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    import mlx.core as mx
    import numpy as np
    import zstandard
    from fixture_model import values
    from mlx_lm.utils import load_model
except ImportError as error:
    print(f"skipped: the checks of MLX need mlx, mlx-lm and zstandard ({error}): pip install 'mlx[cpu]' mlx-lm zstandard")
    sys.exit(0)

mx.set_default_device(mx.cpu)
QTOOL = sys.argv[1]
REFERENCES = pathlib.Path("Tests/CommandTests/Fixtures/reference")
FAMILIES = pathlib.Path("Tests/FamilyTests/Fixtures")
TEXT = pathlib.Path("Examples/held-out.txt")
MODELS = ["llama2", "llama3", "llama-biases", "mistral", "mixtral", "qwen2", "qwen3", "qwen3moe", "deepseek2", "deepseek3",
          "deepseek3-fp8", "gemma3", "gemma4", "gemma4-shared", "qwen35", "qwen35-plain", "qwen35moe", "gpt-oss",
          "gpt-oss-mxfp4", "seed_oss", "smollm3", "granite", "olmo2", "olmo3", "ernie4_5", "phi3", "phi3-longrope",
          "ministral3", "mistral3", "mistral4", "qwen3vl", "qwen3vlmoe", "glm4moe", "glm4moe-air", "glm4moelite",
          "minimax-m2", "deepseek32", "qwen3next"]
# The last is made of the smallest config.json that means the model.
TYPES = ["COPY", "4bit/32", "mixed_3_6/32", "COPY without defaults"]
# mlx_lm rotates Phi 3 by the factors of long texts, at any length.
CONTEXTS = {"phi3-longrope": 128}
WINDOWS = 4
# The error of single precision: in gemma4-shared, an ulp of the embeddings moves logits by 1e-4.
TOLERANCES = {"gemma4-shared": 5e-5}
results = []


def check(name, passed, detail=""):
    results.append(passed)
    print(f"{'ok  ' if passed else 'FAIL'} {name} {detail}".rstrip(), flush=True)


def qtool(*arguments):
    return subprocess.run([QTOOL, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def make(name, folder):
    """A model of the fixtures as a Hugging Face directory."""
    tokenizer = REFERENCES / ("gemma/tokenizer" if name.startswith("gemma") else "tokenizer")
    if (REFERENCES / name).exists():
        shutil.copytree(REFERENCES / name, folder)
    else:
        folder.mkdir()
        fixture = json.loads((FAMILIES / f"{name}.json").read_text())
        (folder / "config.json").write_text(json.dumps(fixture["config"]))
        header, data = {}, b""
        for tensor, (shape, offset, exponent) in fixture["stored"].items():
            part = values(tensor, shape, offset, exponent)
            header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(data), len(data) + len(part)]}
            data += part
        header = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    for file in tokenizer.iterdir(): shutil.copy(file, folder)
    return folder


def without_defaults(source):
    """Removes the keys of a directory's config.json that have their defaults: without one, qtool converts it to the same GGUF.
    mlx_lm has other defaults, or none."""
    path, gguf = source / "config.json", source.parent / "whole.gguf"
    config = json.loads(path.read_text())
    qtool("convert", source, "-o", gguf, "--force", "--quiet")
    whole = gguf.read_bytes()
    for fields in [config, config.get("text_config", {})]:
        for key in [key for key in fields if key != "model_type"]:
            value = fields.pop(key)
            path.write_text(json.dumps(config))
            try:
                qtool("convert", source, "-o", gguf, "--force", "--quiet")
                if gguf.read_bytes() == whole: continue
            except subprocess.CalledProcessError:
                pass
            fields[key] = value
    path.write_text(json.dumps(config))


class Reference:
    """qtool's log-probabilities, from a file of `drift --save-reference` (CompactReference, ReferenceFrame)."""

    def __init__(self, path):
        data = path.read_bytes()
        length = int.from_bytes(data[8:16], "little")
        self.header = json.loads(data[16:16 + length])
        total, size = self.header["windows"] * len(self.scored), self.header["rowsPerFrame"]
        frames = -(-total // size)
        offsets = np.frombuffer(data, "<u8", frames + 2, 16 + length)
        parts = [zstandard.ZstdDecompressor().decompress(data[a:b], max_output_size=1 << 28)
                 for a, b in zip(offsets, offsets[1:])]
        self.tokens = np.frombuffer(parts[0], "<i4").reshape(self.header["windows"], -1).tolist()
        self.rows = [row for n, part in enumerate(parts[1:]) for row in self.frame(part, min(size, total - n * size))]

    @property
    def scored(self):
        """The positions that are scored in every window."""
        first, end = self.header["scored"]
        return range(first, end)

    @staticmethod
    def frame(data, count):
        """Ids of tokens and their log-probabilities, for each of `count` positions."""
        kept = np.frombuffer(data, "<u2", count).astype(int)
        drawn = np.frombuffer(data, "<u2", count, 2 * count).astype(int)
        offset = 12 * count
        ids = []
        for number in [*kept, *drawn]:
            last, row = 0, []
            for _ in range(number):
                step = shift = 0
                while True:
                    byte = data[offset]
                    offset += 1
                    step |= (byte & 127) << shift
                    shift += 7
                    if byte < 128: break
                last += step
                row.append(last)
            ids.append(row)
        entries = kept.sum() + drawn.sum()
        high, middle, low = np.frombuffer(data, np.uint8, 3 * entries, offset).reshape(3, -1).astype(np.int64)
        losses = (high << 16 | middle << 8 | low) / 2.0 ** 18
        starts = np.concatenate([[0], np.cumsum(kept)])
        return [(ids[row], -losses[starts[row]:starts[row + 1]]) for row in range(count)]


def difference(path, reference):
    """The largest difference of a log-probability from mlx_lm's in single precision, the same relative to the largest
    log-probability, and how many were compared."""
    model, _ = load_model(path)
    model.set_dtype(mx.float32)
    rows, largest, scale, count = iter(reference.rows), 0.0, 0.0, 0
    for window in reference.tokens:
        inputs = {}
        if model.model_type == "gemma3_text":
            # The class rounds the factor of the embeddings to BF16.
            factor = model.args.hidden_size ** 0.5
            exact = factor / mx.array(factor, mx.bfloat16).astype(mx.float32)
            inputs["input_embeddings"] = model.model.embed_tokens(mx.array([window])) * exact
        logits = np.array(model(mx.array([window]), **inputs)[0].astype(mx.float32)).astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
        for position in reference.scored:
            ids, found = next(rows)
            largest = max(largest, np.abs(logits[position, ids] - found).max())
            scale = max(scale, np.abs(found).max())
            count += len(ids)
    return largest, largest / scale, count


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for name in sys.argv[2:] or MODELS:
        source = make(name, folder / name)
        for kind in TYPES:
            label = f"{name} as {kind}"
            out = folder / f"{name}-{kind.replace('/', '-').replace(' ', '-')}"
            try:
                if "without" in kind: without_defaults(source)
                qtool("quantize", source, "--format", "mlx", "--type", kind.split()[0], "--no-importance", "--no-feedback", "-o", out,
                      "--quiet")
                file = folder / f"{out.name}.qref"
                qtool("drift", out, "--save-reference", file, "--text", TEXT, "--ctx", CONTEXTS.get(name, 64), "--chunks",
                      WINDOWS, "--quiet")
                largest, relative, count = difference(out, Reference(file))
                check(f"{label}: {count} log-probabilities", relative < TOLERANCES.get(name, 1e-5), f"{largest:.1e}, {relative:.1e}")
            except subprocess.CalledProcessError as error:
                check(label, False, error.stderr.strip())
            except Exception as error:
                check(label, False, f"{type(error).__name__}: {str(error)[:200]}")

print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
sys.exit(0 if all(results) else 1)
