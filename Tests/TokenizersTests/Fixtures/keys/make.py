#!/usr/bin/env python3
"""Makes keys.json: tokenizer directories of many kinds, and the keys that llama.cpp's converter makes of each.

    python make.py LLAMA

LLAMA is llama.cpp's source as the sdist of llama-cpp-python 0.3.36 carries it (vendor/llama.cpp). Needs transformers 5,
sentencepiece and torch. A case is a tokenizer of ../families, fields of its tokenizer.json that are replaced, and the
files beside it. The converter recognises splitters by a hash, so their names are given to it. It changes added tokens that
hold letters of the byte alphabet, and U+2581 in byte-level ones; no case has such.
"""
import json, pathlib, shutil, struct, sys, tempfile

here = pathlib.Path(__file__).resolve().parent
llama = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(llama / "gguf-py"))
sys.path.insert(1, str(llama))

import gguf, transformers
from conversion import ModelBase, get_model_class
from conversion.base import TextModel

transformers.AutoTokenizer.from_pretrained = transformers.PreTrainedTokenizerFast.from_pretrained

BEGIN, END, TOOL = "<|begin|>", "<|end|>", "<tool>"


def template(first=None, last=None, pair=True):
    def special(token, kind): return [{"SpecialToken": {"id": token, "type_id": kind}}] if token else []
    def text(name, kind): return [{"Sequence": {"id": name, "type_id": kind}}]
    single = special(first, 0) + text("A", 0) + special(last, 0)
    both = single + special(first, 1) + text("B", 1) + special(last, 1)
    return {"type": "TemplateProcessing", "single": single, "pair": both if pair else single,
            "special_tokens": {t: {"id": t, "ids": [{BEGIN: 1100, END: 1101}.get(t, 1)], "tokens": [t]}
                               for t in (first, last) if t}}


def token(text, **more):
    return {"__type": "AddedToken", "content": text, "lstrip": False, "normalized": True, "rstrip": False,
            "single_word": False, **more}


def added(id, text, special=False, normalized=False):
    return {"id": id, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": normalized, "special": special}


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
STANDARD = [added(1100, BEGIN, True), added(1101, END, True)]
SPECIAL = {"0": token("<unk>", special=True), "1": token("<s>", special=True), "2": token("</s>", special=True)}
FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}

# name, family, architecture, config.json, replaced fields of tokenizer.json, files beside
CASES = [
    ("llama3", "llama-bpe", "LlamaForCausalLM", {"vocab_size": 1103, "bos_token_id": 1100, "eos_token_id": [1101, 1102]},
     {"post_processor": {"type": "Sequence", "processors": [BYTE_LEVEL, template(BEGIN)]}},
     {"tokenizer_config.json": {**FAST, "bos_token": BEGIN, "eos_token": END, "chat_template": "{{ x }}\n",
                                "model_input_names": ["input_ids"]}}),
    ("llama3-padded", "llama-bpe", "LlamaForCausalLM",
     {"vocab_size": 1120, "bos_token_id": 1100, "eos_token_id": 1101, "pad_token_id": 1102},
     {"post_processor": BYTE_LEVEL}, {"tokenizer_config.json": {**FAST, "bos_token": token(BEGIN), "eos_token": END}}),
    ("llama3-without-config", "llama-bpe", "LlamaForCausalLM", {"vocab_size": 1103, "bos_token_id": 1100},
     {"post_processor": template(BEGIN, END)}, {}),
    ("llama3-both", "llama-bpe", "LlamaForCausalLM", {"vocab_size": 1103},
     {"post_processor": template(BEGIN, END)},
     {"tokenizer_config.json": {**FAST, "bos_token": BEGIN, "eos_token": TOOL, "add_bos_token": False}}),
    ("llama3-added", "llama-bpe", "LlamaForCausalLM", {"vocab_size": 1110},
     {"added_tokens": STANDARD + [added(1102, "two  blanks"), added(1103, "<|looks|>"), added(1104, "\u4e2d\u6587"),
                                  added(1105, "caf\u00e9", normalized=True), added(1106, "<pad>"),
                                  added(1107, "plain<", normalized=True)]},
     {"tokenizer_config.json": {**FAST, "bos_token": BEGIN, "eos_token": END, "pad_token": "<pad>", "unk_token": None}}),
    ("qwen2", "qwen2", "Qwen2ForCausalLM", {"vocab_size": 1136, "bos_token_id": 1100, "eos_token_id": 1101},
     {"post_processor": {**BYTE_LEVEL, "add_prefix_space": False}},
     {"tokenizer_config.json": {
         **FAST, "add_bos_token": False, "add_prefix_space": False, "bos_token": None, "eos_token": END,
         "pad_token": BEGIN, "chat_template": [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"},
                                               {"name": "rag v2", "template": "C"}]}}),
    ("qwen3", "qwen2", "Qwen3ForCausalLM", {"vocab_size": 1136, "eos_token_id": 1101}, {},
     {"tokenizer_config.json": {**FAST, "eos_token": END, "pad_token": BEGIN,
                                "added_tokens_decoder": {"1102": token(TOOL, special=True)}},
      "chat_template.jinja": "{% for m in messages %}{% endfor %}"}),
    ("qwen3moe", "qwen2", "Qwen3MoeForCausalLM", {"vocab_size": 1103, "eos_token_id": 1101}, {},
     {"tokenizer_config.json": {**FAST, "eos_token": END}, "chat_template.json": {"chat_template": "from json"}}),
    ("deepseek2", "deepseek-llm", "DeepseekV2ForCausalLM", {"vocab_size": 1104, "bos_token_id": 1100, "eos_token_id": 1101},
     {"post_processor": {**BYTE_LEVEL, "add_prefix_space": True}},
     {"tokenizer_config.json": {**FAST, "add_bos_token": True, "add_eos_token": False, "bos_token": token(BEGIN),
                                "eos_token": token(END), "pad_token": token(END), "unk_token": None,
                                "chat_template": "{{ bos_token }}"}}),
    ("deepseek3", "deepseek-v3", "DeepseekV3ForCausalLM", {"vocab_size": 1110, "bos_token_id": 0, "eos_token_id": 1},
     {"added_tokens": STANDARD + [added(1102, "<\uff5ctool\u2581calls\uff5c>"), added(1103, "<\uff5cUser\uff5c>"),
                                  added(1104, "<think>", normalized=True)],
      "post_processor": {"type": "Sequence", "processors": [BYTE_LEVEL, template(BEGIN)]}},
     {"tokenizer_config.json": {**FAST, "add_bos_token": True, "add_eos_token": False, "bos_token": token(BEGIN),
                                "eos_token": token(END), "pad_token": token(END)}}),
    ("tekken", "tekken", "MistralForCausalLM", {"vocab_size": 1103, "bos_token_id": 1100, "eos_token_id": 1101},
     {"post_processor": template(BEGIN, END)},
     {"tokenizer_config.json": {**FAST, "bos_token": BEGIN, "eos_token": END, "unk_token": TOOL, "add_prefix_space": False}}),
    ("llama2", "llama-spm", "LlamaForCausalLM", {"vocab_size": 900, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
     {}, {"tokenizer_config.json": {"add_bos_token": True, "add_eos_token": False, "bos_token": token("<s>"),
                                    "eos_token": token("</s>"), "unk_token": token("<unk>"), "legacy": False}}),
    ("llama2-bare", "llama-spm", "LlamaForCausalLM", {"bos_token_id": 1, "eos_token_id": 2}, {}, {}),
    ("llama2-added", "llama-spm", "LlamaForCausalLM", {"vocab_size": 903},
     {}, {"added_tokens.json": {"<filler>": 900, "[extra]": 901, "far": 903},
          "tokenizer_config.json": {"bos_token": "<s>", "eos_token": "</s>", "add_prefix_space": False,
                                    "added_tokens_decoder": {**SPECIAL, "901": token("\u2581user\u2581said"),
                                                             "902": token("<|im_end|>"), "950": token("beyond")}}}),
    ("mixtral", "llama-spm", "MixtralForCausalLM", {"vocab_size": 896, "bos_token_id": 1, "eos_token_id": 2},
     {}, {"tokenizer_config.json": {"bos_token": "<s>", "eos_token": "</s>", "added_tokens_decoder": SPECIAL,
                                    "chat_template": "[INST]"}}),
    ("qwen2-spm", "llama-spm", "Qwen2ForCausalLM", {"vocab_size": 900, "pad_token_id": 950},
     {}, {"tokenizer_config.json": {"bos_token": "<s>", "eos_token": "</s>"}}),
    ("code-llama", "llama-spm", "LlamaForCausalLM", {"vocab_size": 32016, "bos_token_id": 1, "eos_token_id": 2},
     {}, {"tokenizer_config.json": {"bos_token": "<s>", "eos_token": "</s>"}}),
    # The converter's scores are useless; tokens, types and special ids are compared.
    ("llama2-json", "llama-json", "LlamaForCausalLM", {"vocab_size": 900, "bos_token_id": 1, "eos_token_id": 2},
     {}, {"tokenizer_config.json": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True}}),
]


def digest(data):
    """FNV-1a."""
    value = 0xCBF29CE484222325
    for byte in data: value = ((value ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    return "%016x" % value


def value(field):
    """The type and the value, or an array's digest."""
    kind, contents = field.types[0].name, field.contents()
    if kind != "ARRAY": return f"{kind} {int(contents) if kind == 'BOOL' else contents}"
    kind = field.types[-1].name
    if kind == "STRING": return "STRINGS " + digest("\0".join(
        # A Python set's order changes from run to run.
        sorted(contents) if field.name == "tokenizer.chat_templates" else contents).encode())
    if kind == "FLOAT32": return "FLOAT32S " + digest(struct.pack(f"<{len(contents)}f", *contents))
    return f"{kind}S " + digest(",".join(str(x) for x in contents).encode())


def keys(case, work):
    name, family, architecture, config, fields, files = case
    directory = work / name
    shutil.copytree(here.parent / "families" / family, directory)
    (directory / "config.json").write_text(json.dumps(config))
    if fields:
        path = directory / "tokenizer.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    for file, content in files.items():
        (directory / file).write_text(content if isinstance(content, str) else json.dumps(content))
    TextModel.get_vocab_base_pre = lambda self, tokenizer: family
    kind = get_model_class(architecture)
    converter = kind.__new__(kind)
    converter.dir_model, converter.hparams = directory, config
    converter.origin_hf_arch, converter.is_mistral_format = architecture, False
    out = work / (name + ".gguf")
    converter.gguf_writer = gguf.GGUFWriter(out, gguf.MODEL_ARCH_NAMES[kind.model_arch])
    converter.set_vocab()
    converter.gguf_writer.write_header_to_file()
    converter.gguf_writer.write_kv_data_to_file()
    converter.gguf_writer.close()
    reader = gguf.GGUFReader(out)
    result = {k: value(f) for k, f in reader.fields.items() if k.startswith("tokenizer.")}
    if name == "llama2-json": result.pop("tokenizer.ggml.scores")
    return {"name": name, "family": family, "architecture": gguf.MODEL_ARCH_NAMES[kind.model_arch], "config": config,
            "fields": fields, "files": files, "keys": result}


with tempfile.TemporaryDirectory() as work:
    cases = [keys(case, pathlib.Path(work)) for case in CASES]
lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
(here / "keys.json").write_text("[\n" + lines + "\n]\n")
