#!/usr/bin/env python3
"""compare_families.py QTOOL LLAMA_BIN TEXT [FAMILY ...]: small random models of every family beside llama.cpp.

LLAMA_BIN is a folder with llama-imatrix and llama-quantize. For each family (families.py makes the model, or
fixture_model.py; it is converted to F32, so that llama.cpp computes in single precision) prints a row of a table: the largest difference of a
tensor's sums of importance, by their sum; the difference of the perplexity at 512 and 2048 tokens; the tensors of
fifteen stock mixes that have another type than llama-quantize gives them; the token ids of 200 kB in ten scripts that
differ. Needs torch, transformers 5, gguf, numpy and xllamacpp.
"""
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np

import fixture_model
from llama import Llama

HERE = pathlib.Path(__file__).resolve().parent
QTOOL, LLAMA, TEXT = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
FAMILIES = sys.argv[4:] or [
    "qwen35", "qwen35moe", "qwen3next", "gemma3", "gemma4", "gemma4-moe", "gemma4-shared", "gpt-oss"] + fixture_model.NAMES
MIXES = ["Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "Q4_0", "IQ4_XS", "IQ4_NL", "Q3_K_L", "Q3_K_M",
         "IQ3_S", "IQ3_XXS", "Q2_K", "IQ2_M"]
SCRIPTS = ["arabic", "chinese", "german", "hindi", "japanese", "korean", "russian", "spanish", "code", "mathematics"]


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode: sys.exit(" ".join(map(str, command)) + "\n" + done.stderr[-2000:])
    return done.stdout


def sums(path):
    return {t.name: np.array(t.data, np.float64) for t in gguf.GGUFReader(path).tensors if t.name.endswith(".in_sum2")}


def types(path):
    return {t.name: t.tensor_type.name for t in gguf.GGUFReader(path).tensors}


print("| Model | sums | perplexity, 512 | perplexity, 2048 | types that differ | token ids that differ |\n"
      "|---|--:|--:|--:|--:|--:|")
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    sample = folder / "scripts.txt"
    sample.write_bytes(b"".join((HERE.parents[1] / f"calibration/{name}.txt").read_bytes()[:20000] for name in SCRIPTS))
    for family in FAMILIES:
        # llama.cpp expects certain tokens of a model whose name has "phi3" in it.
        source = folder / "random"
        if family in fixture_model.NAMES: fixture_model.write(family, source)
        else: run(sys.executable, HERE / "families.py", family, "small", source)
        model, ours, theirs = folder / f"{family}.gguf", folder / "ours.gguf", folder / "theirs.gguf"
        run(QTOOL, "convert", source, "-o", model, "--type", "F32", "--allow-requantize", "--quiet", "--force")
        run(QTOOL, "imatrix", model, "--calibration", TEXT, "--chunks", 4, "-o", ours, "--force")
        run(LLAMA / "llama-imatrix", "-m", model, "-f", TEXT, "-o", theirs, "--chunks", 4, "--no-ppl", "-fa", "off", "-ctk",
            "f32", "-ctv", "f32", "-c", 512)
        found, expected = sums(ours), sums(theirs)
        missing = expected.keys() - found.keys()
        sum_difference = max(np.abs(found[n] - v).sum() / np.abs(v).sum() for n, v in expected.items() if n in found)
        texts = []
        for length in (512, 2048):
            line = run(QTOOL, "perplexity", model, "--text", TEXT, "--chunks", 2, "--ctx", length, "--csv", "--quiet")
            header, row = [text.split(",") for text in line.strip().split("\n")[:2]]
            value = float(row[header.index("value")])
            llama = Llama(str(model), length, exact=True)
            texts.append(abs(value / llama.perplexity(open(TEXT, "rb").read(), 2) - 1))
        differing = 0
        for mix in MIXES:
            run(QTOOL, "quantize", model, "--type", mix, "--imatrix", theirs, "-o", ours.with_name("q.gguf"), "--force",
                "--no-feedback", "--quiet")
            run(LLAMA / "llama-quantize", "--imatrix", theirs, model, folder / "l.gguf", mix, 2)
            one, other = types(folder / "q.gguf"), types(folder / "l.gguf")
            differing += sum(one[name] != kind for name, kind in other.items())
        ids = np.array(run(QTOOL, "tokenize", model, "--text", sample).split(), np.int64)
        reference = np.array(llama.tokens(sample.read_bytes()), np.int64)
        wrong = int((ids != reference).sum()) if len(ids) == len(reference) else max(len(ids), len(reference))
        print(f"| {family} | {sum_difference:.1e}{f', {len(missing)} missing' if missing else ''} | {texts[0]:.1e} | {texts[1]:.1e} | "
              f"{differing} of {len(MIXES) * len(other)} | {wrong} of {len(reference)} |", flush=True)
