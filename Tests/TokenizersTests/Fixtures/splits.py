#!/usr/bin/env python3
"""Makes splits.json: digests of the words into which the `regex` package splits mixed text by the patterns of models.

    python3 splits.py        # needs regex

The patterns are those of the models' tokenizers (tokenizer.json, or Kimi's tokenization_kimi.py).
"""
import json, pathlib, sys
import regex

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here / "families"))
import mixed

C = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
B = r"\s*[\r\n]+|\s+(?!\S)|\s+"
U, L = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"


def words(digits, after=r"[\r\n]*", mark=r"[^\s\p{L}\p{N}]"):
    return rf"{C}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?{mark}+{after}|{B}"


def cased(digits, upper=U, lower=L, after=r"[\r\n/]*"):
    p = r"[^\r\n\p{L}\p{N}]?"
    return rf"{p}[{upper}]*[{lower}]+{C}?|{p}[{upper}]+[{lower}]*{C}?|{digits}| ?[^\s\p{{L}}\p{{N}}]+{after}|{B}"


V3 = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+"""
HAN = "\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff"
ASIA = ("\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e00-\u0e7f"
        "\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff")
GROUPS = r"\p{N}{1,2}(?=(?:\p{N}{3})+(?!\p{N}))(?<!\p{N}\p{N}\p{N})|\p{N}{3}(?=(?:\p{N}{3})*(?!\p{N}))|\p{N}{1,2}(?!\p{N})"
PATTERNS = {
    "bailingmoe": [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"],
    "seed-coder": [words(r"\p{N}{1}", "", r"[^\s\p{L}\p{N}\r\n]")],
    "minicpm5": [r"\p{N}{1,3}", words(r"\p{N}+")],
    "laguna": [r"[^\n]+|[\n]+", words(r"\p{N}")],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", cased(r"\p{N}{1,3}")],
    "exaone-moe": [C + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
                   r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"],
    "hy_v4": [r"\p{N}{1,3}", f"[{HAN}]+", V3 + r"[\r\n]*|" + B],
    "spark2_5": [r"\p{N}{1,3}", f"[{HAN}]+", V3 + r"|[\r\n]|\s+(?!\S)|\s+", r"\p{N}"],
    "afmoe": [GROUPS, f"[{ASIA}]+", V3 + r"[\r\n]*|" + B],
    "youtu": ["[\uac00-\ud7a3\u3131-\u318e]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+", cased(r"\p{N}")],
    "superbpe": [GROUPS],
    "kimi-k2": [r"[\p{Han}]+|" + cased(r"\p{N}{1,3}", U + r"&&[^\p{Han}]", L + r"&&[^\p{Han}]", r"[\r\n]*")],
}


def split(text, patterns):
    pieces = [text]
    for pattern in patterns:
        compiled, result = regex.compile(pattern, regex.V1), []
        for piece in pieces:
            end = 0
            for match in compiled.finditer(piece):
                if match.start() > end: result.append(piece[end:match.start()])
                if match.end() > match.start(): result.append(match[0])
                end = match.end()
            if end < len(piece): result.append(piece[end:])
        pieces = result
    return pieces


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data: value = (value ^ byte) * 0x100000001B3 % 2 ** 64
    return f"{value:016x}"


source = json.loads((here / "families" / "source.json").read_text())
# Numbers of several digits, beside letters and marks.
extra = "1234567 12a 123456.5 x99999, 1_000 １２３４５ 2024年12月31日 HelloWorld McDonald's don'T  中文  ok\r\n\r\n  Zeile\n/end 々人〇一\n"
texts = [mixed.document(source, seed, 2100) for seed in range(100, 120)] + [extra]
result = {}
for name, patterns in PATTERNS.items():
    lengths = [len(word.encode()) for text in texts for word in split(text, patterns)]
    result[name] = fnv1a(b"".join(n.to_bytes(4, "little") for n in lengths))
(here / "splits.json").write_text(json.dumps({"extra": extra, "words": result}, ensure_ascii=False, indent=1) + "\n")
