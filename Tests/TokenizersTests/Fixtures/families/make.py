"""Makes the tokenizers of every family of splitters and the ids that the `tokenizers` package gives for mixed text.

    python make.py        # needs tokenizers, transformers, sentencepiece

Every family has its own pre_tokenizer and all share one small byte-pair vocabulary; the SentencePiece one is trained by
sentencepiece and written as tokenizer.json, too, as converters do. source.json lists what the text is made of.
"""
import io
import json
import os
import struct

import sentencepiece
import tokenizers
from tokenizers import Tokenizer, models, trainers
from transformers.convert_slow_tokenizer import generate_merges

from mixed import document

HERE = os.path.dirname(os.path.abspath(__file__))
SEEDS = range(100, 152)
SIZE = 2100

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORDS = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def cased(digits, suffix=""):
    front = r"[^\r\n\p{L}\p{N}]?"
    return (front + UPPER + "*" + LOWER + "+" + suffix + "|" + front + UPPER + "+" + LOWER + "*" + suffix
            + "|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def byte_level(regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": regex}


DIGITS = {"type": "Digits", "individual_digits": True}
EAST = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"

with open(os.path.join(HERE, "source.json"), encoding="utf-8") as file:
    SOURCE = json.load(file)

FAMILIES = {
    "llama-bpe": (None, [split(WORDS % "{1,3}"), byte_level(False)]),
    "qwen2": ({"type": "NFC"}, [split(WORDS % ""), byte_level(False)]),
    "qwen35": (None, [
        split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
        byte_level(False)]),
    "gpt-2": (None, [byte_level(True)]),
    "starcoder": (None, [DIGITS, byte_level(True)]),
    "deepseek-llm": ({"type": "Sequence", "normalizers": []}, [
        split("[\r\n]"), split("\\s?[" + SOURCE["deepseek letters"] + "]+"),
        split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split("\\s+$"), split(EAST), DIGITS,
        byte_level(False)]),
    "deepseek-coder": ({"type": "Sequence", "normalizers": []}, [
        split("[\r\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), split(EAST), DIGITS, byte_level(False)]),
    "deepseek-v3": ({"type": "Sequence", "normalizers": []}, [
        split("\\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
        split("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
              "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"), byte_level(False)]),
    "tekken": (None, [split(cased(r"\p{N}")), byte_level(False)]),
    "gpt-4o": (None, [split(cased(r"\p{N}{1,3}", CONTRACTIONS + "?")), byte_level(False)]),
}


def added(tokens, special=True):
    return [{"id": id, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": not special, "special": special} for id, text in tokens]


def train(corpus):
    """Merges that cross every boundary a splitter may set: ids then depend on where it sets them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=1100, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    return json.loads(tokenizer.to_str())


def family(name, trained):
    normalizer, steps = FAMILIES[name]
    result = json.loads(json.dumps(trained))
    result["normalizer"] = normalizer
    result["pre_tokenizer"] = steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps}
    count = len(result["model"]["vocab"])
    result["added_tokens"] = (added([(count, "<|begin|>"), (count + 1, "<|end|>")])
                              + added([(count + 2, "<tool>")], special=False))
    result["decoder"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    result["model"]["ignore_merges"] = name in ("llama-bpe", "tekken")
    return result


def sentence_piece(corpus):
    """A Llama-like SentencePiece model, and the same as tokenizer.json."""
    output = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in corpus for line in text.splitlines() if line.strip()),
        model_writer=output, model_type="bpe", vocab_size=900, byte_fallback=True, split_digits=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
        character_coverage=0.98, num_threads=1, minloglevel=2)
    processor = sentencepiece.SentencePieceProcessor(model_proto=output.getvalue())
    pieces = [processor.id_to_piece(i) for i in range(processor.vocab_size())]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    scores = {piece: processor.get_score(i) for i, piece in enumerate(pieces)}
    mergeable = {piece: scores[piece] for i, piece in enumerate(pieces)
                 if not (processor.is_control(i) or processor.is_unknown(i) or processor.is_byte(i))}
    ranked = dict(sorted(mergeable.items(), key=lambda item: -item[1]))
    result = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": added([(0, "<unk>"), (1, "<s>"), (2, "</s>")]),
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        "pre_tokenizer": None,
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                                    {"SpecialToken": {"id": "<s>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": vocab, "merges": [list(pair) for pair in generate_merges(ranked, ranked)]},
    }
    return output.getvalue(), result


def digest(ids):
    """FNV-1a over the ids as little-endian 32-bit integers."""
    value = 0xCBF29CE484222325
    for byte in struct.pack("<%di" % len(ids), *ids):
        value = ((value ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    return "%016x" % value


def main():
    texts = [document(SOURCE, seed, SIZE) for seed in SEEDS]
    corpus = [document(SOURCE, seed, 300) for seed in range(600)] + SOURCE["fragments"] * 10
    # The added tokens must not become tokens of the vocabulary as well.
    corpus = [text.replace("<|end|>", "").replace("<tool>", "") for text in corpus]
    trained = train(corpus)
    expected = {"texts": [digest(list(text.encode())) for text in texts], "bytes": sum(len(t.encode()) for t in texts)}

    def config(path, size):
        with open(os.path.join(path, "config.json"), "w") as file:
            file.write('{"vocab_size": %d}\n' % size)

    def save(name, tokenizer):
        path = os.path.join(HERE, name)
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "tokenizer.json"), "w", encoding="utf-8") as file:
            json.dump(tokenizer, file, ensure_ascii=False, separators=(",", ":"))
            file.write("\n")
        config(path, 1 + max([*tokenizer["model"]["vocab"].values(), *(t["id"] for t in tokenizer["added_tokens"])]))
        loaded = Tokenizer.from_file(os.path.join(path, "tokenizer.json"))
        return [digest(loaded.encode(text, add_special_tokens=False).ids) for text in texts]

    for name in FAMILIES:
        expected[name] = save(name, family(name, trained))
    # Few scripts, so that merges and not single characters fill the vocabulary; the others fall back to bytes.
    western = {**SOURCE, "alphabets": SOURCE["alphabets"][:4]}
    model, tokenizer = sentence_piece([document(western, seed, 4000) for seed in range(40)])
    expected["llama-json"] = save("llama-json", tokenizer)
    os.makedirs(os.path.join(HERE, "llama-spm"), exist_ok=True)
    with open(os.path.join(HERE, "llama-spm", "tokenizer.model"), "wb") as file:
        file.write(model)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    config(os.path.join(HERE, "llama-spm"), processor.vocab_size())
    expected["llama-spm"] = [digest(processor.encode(text)) for text in texts]
    with open(os.path.join(HERE, "expected.json"), "w", encoding="utf-8") as file:
        json.dump(expected, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
