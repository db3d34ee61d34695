#!/usr/bin/env python3
"""Makes a small tiktoken.model, and digests of the ids that the `tiktoken` package gives for mixed text with Kimi K2's
pattern.

    python3 make.py        # needs tiktoken
"""
import base64, json, pathlib, sys
import tiktoken

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent / "families"))
sys.path.insert(0, str(here.parent))
import mixed

# GPT-2's characters for bytes.
plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
alphabet = {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in plain)}
model = json.loads((here.parent / "families" / "gpt-4o" / "tokenizer.json").read_text())["model"]
tokens = [bytes([b]) for b in range(256)]
for merge in model["merges"]:
    token = bytes(alphabet[c] for part in (merge if isinstance(merge, list) else merge.split(" ")) for c in part)
    if token not in tokens: tokens.append(token)
(here / "tiktoken.model").write_text("".join(f"{base64.b64encode(t).decode()} {i}\n" for i, t in enumerate(tokens)))
named = {"[BOS]": len(tokens), "[EOS]": len(tokens) + 1, "<|im_end|>": len(tokens) + 2}
flags = dict(lstrip=False, normalized=False, rstrip=False, single_word=False, special=True)
(here / "tokenizer_config.json").write_text(json.dumps({
    "added_tokens_decoder": {str(i): {"content": t} | flags for t, i in named.items()}, "bos_token": "[BOS]",
    "eos_token": "[EOS]", "tokenizer_class": "TikTokenTokenizer"}, indent=1) + "\n")
(here / "config.json").write_text(json.dumps({
    "vocab_size": len(tokens) + 8, "bos_token_id": named["[BOS]"], "eos_token_id": named["<|im_end|>"]}) + "\n")

U, L = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
C = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
pattern = "|".join([
    r"[\p{Han}]+", rf"[^\r\n\p{{L}}\p{{N}}]?{U}*{L}+{C}", rf"[^\r\n\p{{L}}\p{{N}}]?{U}+{L}*{C}", r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
encoding = tiktoken.Encoding("kimi", pat_str=pattern, mergeable_ranks={t: i for i, t in enumerate(tokens)}, special_tokens={})


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data: value = (value ^ byte) * 0x100000001B3 % 2 ** 64
    return f"{value:016x}"


source = json.loads((here.parent / "families" / "source.json").read_text())
ids = [encoding.encode_ordinary(mixed.document(source, seed, 2100)) for seed in range(100, 120)]
(here / "expected.json").write_text(json.dumps(
    [fnv1a(b"".join(i.to_bytes(4, "little") for i in one)) for one in ids]) + "\n")
print(len(tokens), sum(map(len, ids)))
