#!/usr/bin/env python3
"""check.py QTOOL MODEL FOLDER: every GGUF of the demo in FOLDER, judged by llama.cpp and gguf-py.

Prints a line a check, and ends with '<n> passed, <n> failed'; exits with 1 where one failed.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

from gguf import GGUFReader

from llama import Llama

QTOOL, MODEL, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
HELD_OUT = pathlib.Path("Examples/held-out.txt")
WINDOWS = 8
# llama.cpp rounds activations to 8 bits beside quantized weights, which moves a perplexity by a few tenths of a percent;
# with the same weights decoded to F32 it computes as we do.
TOLERANCE_AS_IT_RUNS = 0.01
TOLERANCE_DECODED = 0.0005
TEXTS = [HELD_OUT, pathlib.Path("calibration/code.txt"), pathlib.Path("calibration/chinese.txt")]
results = []


def check(name, passed, detail=""):
    results.append(passed)
    print(f"{'ok  ' if passed else 'FAIL'} {name} {detail}".rstrip())


def qtool(*arguments):
    return subprocess.run([QTOOL, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def our_perplexity(path):
    out = qtool("perplexity", path, "--text", HELD_OUT, "--chunks", WINDOWS, "--json", "--quiet")
    return json.loads(out)["all"]["statistics"]["perplexity"]["value"]


text = HELD_OUT.read_bytes()
files = sorted(p for p in FOLDER.glob("*.gguf") if "imatrix" not in p.name)
wanted = {"1.6MB", "2.1MB", "2.7MB", "F16", "Q2_K", "Q3_K_M", "Q4_K_M"}
check("the demo wrote its files", {p.stem.removeprefix("demo-") for p in files} == wanted, " ".join(p.name for p in files))
for path in files:
    model = Llama(path)
    theirs = model.perplexity(text, WINDOWS)
    ours = our_perplexity(path)
    check(f"{path.name}: perplexity as it runs", abs(ours / theirs - 1) < TOLERANCE_AS_IT_RUNS,
          f"ours {ours:.4f}, llama.cpp {theirs:.4f}, {100 * (ours / theirs - 1):+.3f} %")
    with tempfile.TemporaryDirectory() as folder:
        decoded_path = pathlib.Path(folder) / "decoded.gguf"
        qtool("convert", path, "--type", "F32", "--allow-requantize", "-o", decoded_path, "--quiet")
        decoded = Llama(decoded_path)
        theirs = decoded.perplexity(text, WINDOWS)
        decoded.close()
    check(f"{path.name}: perplexity of its weights in F32", abs(ours / theirs - 1) < TOLERANCE_DECODED,
          f"ours {ours:.4f}, llama.cpp {theirs:.4f}, {100 * (ours / theirs - 1):+.4f} %")
    if path.name == "demo-F16.gguf":
        for source in TEXTS:
            ids = list(map(int, qtool("tokenize", path, "--text", source).split()))
            direct = list(map(int, qtool("tokenize", MODEL, "--text", source).split()))
            expected = model.tokens(source.read_bytes())
            check(f"{source.name}: tokens", ids == expected and direct == expected, f"{len(expected)} ids")
    model.close()

    reader = GGUFReader(path)
    keys = {name: field.contents() for name, field in reader.fields.items()}
    wanted = json.loads((MODEL / "config.json").read_text())
    same = (keys["general.architecture"] == "llama" and keys["llama.block_count"] == wanted["num_hidden_layers"]
            and keys["llama.embedding_length"] == wanted["hidden_size"]
            and len(keys["tokenizer.ggml.tokens"]) == wanted["vocab_size"])
    check(f"{path.name}: keys in gguf-py", same, f"{len(keys)} keys, {len(reader.tensors)} tensors")
    size = path.stat().st_size
    last = max(reader.tensors, key=lambda t: t.data_offset)
    check(f"{path.name}: tensors fill the file", 0 <= size - (last.data_offset + last.n_bytes) < 32)
    target = re.fullmatch(r"demo-([\d.]+)MB\.gguf", path.name)
    if target:
        limit = float(target[1]) * 1e6
        check(f"{path.name}: within its size", 0.99 * limit <= size <= limit, f"{size / limit * 100:.2f} %")

# Shards: llama.cpp opens them by the first, and scores as it does the file that they were split from.
whole = FOLDER / "demo-F16.gguf"
shards = FOLDER / "shards"
shards.mkdir(exist_ok=True)
for name, more in [("plain", []), ("empty-first", ["--no-tensor-first-split"])]:
    qtool("split", whole, "-o", shards / f"{name}.gguf", "--max-size", "3MB", "--quiet", "--force", *more)
    parts = sorted(shards.glob(f"{name}-*.gguf"))
    scores = []
    for path in [whole, parts[0]]:
        model = Llama(path)
        scores.append(model.perplexity(text, 1))
        model.close()
    check(f"{len(parts)} shards ({name}): perplexity", len(parts) > 1 and scores[0] == scores[1], str(scores))

failed = results.count(False)
print(f"{len(results) - failed} passed, {failed} failed")
sys.exit(failed > 0)
