#!/usr/bin/env python3
"""Writes ids.json: what the `tokenizers` package makes of texts with the demo model's tokenizer.

    python3 -m venv .venv && .venv/bin/pip install tokenizers && .venv/bin/python ids.py > ids.json
"""
import json
import pathlib

from tokenizers import Tokenizer

root = pathlib.Path(__file__).resolve().parents[3]
tokenizer = Tokenizer.from_file(str(root / "Examples/demo-model/tokenizer.json"))
cases = [
    "", " ", "  ", "\n", "\n\n", " \n ", "\t\tx", "Hello, world!", "hello   world", "I'm, you'LL, we'Ve 'S 'T don't",
    "1234567 12 3.14 1,000,000", "a\r\n\r\nb \r\n c", "x=1;  y=[2,3]\n    return y", "naïve café Ünïcödé ſ'ſ",
    "日本語テキスト 中文 العربية हिन्दी русский ไทย", "🙂🙃 👩‍👩‍👧‍👦 e\u0301", "\u00a0\u2003wide\u3000space", "...?!—–\"quoted\"",
    "trailing   ", "   leading", "²³½ ⅷ ٣٤٥ ໑໒", "a" * 300, "ab " * 100, "_under_score__ $100 %d\n", "\u200bzero\u200dwidth",
    "end\n", "MixedCASE'Re'", "\x00\x01\x7f", "<|begin_of_tex|>", "((([[[{{{}}}]]])))",
]
print(json.dumps([{"text": t, "ids": tokenizer.encode(t, add_special_tokens=False).ids} for t in cases], indent=0))
