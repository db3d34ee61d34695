#!/usr/bin/env python3
"""mlx_directories.py QTOOL: MLX directories of small random models of every family, judged by mlx_lm.

Each is loaded strictly; its tensors decode as qtool decodes them, and its likelihood of a text in single precision is
qtool's. Skipped with a message where python has no mlx. Prints a line a check, and ends with '<n> passed, <n> failed'.
"""
import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    import mlx.core as mx
    import numpy as np
    from mlx_lm.utils import load_model
except ImportError as error:
    print(f"skipped: the checks of MLX need mlx and mlx-lm ({error}): pip install 'mlx[cpu]' mlx-lm")
    sys.exit(0)

mx.set_default_device(mx.cpu)
QTOOL = sys.argv[1]
FIXTURES = pathlib.Path("Tests/CommandTests/Fixtures/reference")
TEXT = pathlib.Path("Examples/held-out.txt")
MODELS = ["llama2", "llama3", "llama-biases", "mistral", "mixtral", "qwen2", "qwen3", "qwen3moe", "deepseek2", "deepseek3",
          "deepseek3-fp8", "gemma3", "gemma4", "gemma4-shared", "qwen35", "qwen35-plain", "qwen35moe", "gpt-oss",
          "gpt-oss-mxfp4"]
TYPES = ["COPY", "4bit/32", "mixed_3_6/32"]
CONTEXT, WINDOWS = 64, 4
results = []


def check(name, passed, detail=""):
    results.append(passed)
    print(f"{'ok  ' if passed else 'FAIL'} {name} {detail}".rstrip(), flush=True)


def qtool(*arguments):
    return subprocess.run([QTOOL, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def ours(path):
    """Mean negative log-likelihood of the second half of every window."""
    out = qtool("perplexity", path, "--text", TEXT, "--ctx", CONTEXT, "--chunks", WINDOWS, "--json", "--quiet")
    return math.log(json.loads(out)["all"]["statistics"]["perplexity"]["value"])


def windows(path, file):
    """The tokens of the windows, from a file in the format of llama-perplexity."""
    qtool("drift", path, "--save-logits", file, "--text", TEXT, "--ctx", CONTEXT, "--chunks", WINDOWS, "--quiet")
    data = file.read_bytes()
    context, _, count = np.frombuffer(data[8:20], "<i4")
    return np.frombuffer(data[20:20 + 4 * context * count], "<i4").reshape(count, context).tolist()


def theirs(path, tokens):
    """The same by mlx_lm, in single precision."""
    model, _ = load_model(path)
    model.set_dtype(mx.float32)
    total, count = 0.0, 0
    for window in tokens:
        logits = np.array(model(mx.array([window]))[0].astype(mx.float32)).astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        for position in range(CONTEXT // 2, CONTEXT - 1):
            total -= logs[position, window[position + 1]]
            count += 1
    return total / count


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for name in MODELS:
        source = folder / name
        shutil.copytree(FIXTURES / name, source)
        tokenizer = FIXTURES / ("gemma/tokenizer" if name.startswith("gemma") else "tokenizer")
        for file in tokenizer.iterdir(): shutil.copy(file, source)
        for kind in TYPES:
            label = f"{name} as {kind}"
            out = folder / f"{name}-{kind.replace('/', '-')}"
            try:
                qtool("quantize", source, "--format", "mlx", "--type", kind, "--no-importance", "--no-feedback", "-o", out,
                      "--quiet")
                found, mean = ours(out), theirs(out, windows(out, folder / f"{out.name}.logits"))
                check(f"{label}: likelihood", abs(mean - found) < 1e-5, f"{found:.6f} {mean:.6f}")
            except subprocess.CalledProcessError as error:
                check(label, False, error.stderr.strip())
            except Exception as error:
                check(label, False, f"{type(error).__name__}: {str(error)[:200]}")

print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
sys.exit(0 if all(results) else 1)
