#!/usr/bin/env python3
"""Makes the Gemma models of this folder, and what llama.cpp's converter makes of them.

    PYTHONPATH=LLAMA/gguf-py python3 gemma.py LLAMA DEMO

The arguments, packages and files are those of make.py. The tokenizer is in `gemma/tokenizer`: a small byte-pair model of
characters with blanks as U+2581, as tokenizer.model for Gemma 3 and as tokenizer.json for both.
"""
import json, pathlib, shutil, sys, tempfile

sys.argv.append("none")  # make.py then only defines its functions.
import make
import sentencepiece, torch, transformers

here = make.here
tokens = here / "gemma" / "tokenizer"
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<|turn>", "<turn|>", "<|channel>", "<channel|>"]
SIZE = 400


def tokenizer():
    shutil.rmtree(tokens, ignore_errors=True)
    tokens.mkdir(parents=True)
    text = (make.arguments.demo.parent / "held-out.txt").read_text()
    with tempfile.TemporaryDirectory() as work:
        source = pathlib.Path(work) / "text.txt"
        source.write_text("".join(c for c in text[:40000] if c.isascii()))
        sentencepiece.SentencePieceTrainer.train(
            input=str(source), model_prefix=work + "/m", vocab_size=SIZE, model_type="bpe", byte_fallback=True,
            add_dummy_prefix=False, normalization_rule_name="identity", remove_extra_whitespaces=False, pad_id=0,
            eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", bos_piece="<bos>", eos_piece="<eos>", unk_piece="<unk>",
            control_symbols=SPECIAL[4:], character_coverage=0.98, minloglevel=2)
        shutil.copy(work + "/m.model", tokens / "tokenizer.model")
    model = sentencepiece.SentencePieceProcessor(model_file=str(tokens / "tokenizer.model"))
    vocabulary = {model.id_to_piece(i): i for i in range(model.vocab_size())}
    plain = {p: i for p, i in vocabulary.items() if not (model.is_control(i) or model.is_byte(i) or model.is_unknown(i))}
    merges = [(plain[p], plain[p[:i]], plain[p[i:]], p[:i], p[i:])
              for p in plain for i in range(1, len(p)) if p[:i] in plain and p[i:] in plain]
    blank = {"String": " "}
    special = [dict(id=vocabulary[s], content=s, single_word=False, lstrip=False, rstrip=False, normalized=False,
                    special=True) for s in SPECIAL]
    bos = {"SpecialToken": {"id": "<bos>", "type_id": 0}}
    one, two = ({"Sequence": {"id": name, "type_id": type}} for name, type in (("A", 0), ("B", 1)))
    (tokens / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": {"type": "Replace", "pattern": blank, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": blank, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": {"type": "TemplateProcessing", "single": [bos, one], "pair": [bos, one, two],
                           "special_tokens": {"<bos>": {"id": "<bos>", "ids": [2], "tokens": ["<bos>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": vocabulary, "merges": [[a, b] for *_, a, b in sorted(merges)]},
    }, ensure_ascii=False, separators=(",", ":")) + "\n")
    (tokens / "tokenizer_config.json").write_text(json.dumps({
        "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>",
        "sot_token": "<|turn>", "eot_token": "<turn|>", "soc_token": "<|channel>", "eoc_token": "<channel|>",
        "added_tokens_decoder": {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in special}}) + "\n")


def build():
    T = transformers
    full, sliding = "full_attention", "sliding_attention"
    base = dict(vocab_size=SIZE, hidden_size=32, intermediate_size=64, num_attention_heads=4, num_key_value_heads=2,
                head_dim=16, max_position_embeddings=512, sliding_window=64, tie_word_embeddings=True,
                bos_token_id=2, eos_token_id=1, pad_token_id=0)
    rotation = {full: {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6},
                sliding: {"rope_type": "default", "rope_theta": 1e4}}
    gemma4 = dict(base, global_head_dim=32, rope_parameters=rotation, hidden_size_per_layer_input=0)
    make.model("gemma3", T.Gemma3TextConfig(
        **base, num_hidden_layers=6, query_pre_attn_scalar=16, architectures=["Gemma3ForCausalLM"],
        rope_parameters={full: {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}, sliding: rotation[sliding]}),
        torch.bfloat16, 31)
    make.model("gemma4", T.Gemma4TextConfig(
        **gemma4, num_hidden_layers=2, layer_types=[sliding, full], attention_k_eq_v=True, num_global_key_value_heads=1,
        enable_moe_block=True, num_experts=4, top_k_experts=2, moe_intermediate_size=32, final_logit_softcapping=30.0,
        architectures=["Gemma4ForCausalLM"]), torch.bfloat16, 32)
    make.model("gemma4-shared", T.Gemma4TextConfig(
        **gemma4 | dict(hidden_size_per_layer_input=32, vocab_size_per_layer_input=SIZE), num_hidden_layers=4,
        layer_types=[sliding, full] * 2, num_kv_shared_layers=2, use_double_wide_mlp=True,
        architectures=["Gemma4ForCausalLM"]), torch.bfloat16, 33)


def unified():
    """Gemma 4 12B's class, whose generation_config.json suppresses tokens."""
    T = transformers
    text = dict(vocab_size=SIZE, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, head_dim=16, global_head_dim=32, attention_k_eq_v=True,
                num_global_key_value_heads=1, layer_types=["sliding_attention", "full_attention"],
                max_position_embeddings=512, sliding_window=64, final_logit_softcapping=30.0)
    target = make.model("gemma4-unified", T.Gemma4UnifiedConfig(
        text_config=text, vision_config=None, audio_config=None,
        architectures=["Gemma4UnifiedForConditionalGeneration"]), torch.bfloat16, 34)
    # The converter needs the key, whatever its value.
    path = target / "config.json"
    config = json.loads(path.read_text())
    config["text_config"]["moe_intermediate_size"] = None
    path.write_text(json.dumps(config, indent=1) + "\n")
    (target / "generation_config.json").write_text('{"suppress_tokens": [7, 8], "top_k": 64}\n')


tokenizer()
build()
unified()
make.here = tokens.parent
with tempfile.TemporaryDirectory() as work:
    for name in ("gemma3", "gemma4", "gemma4-shared", "gemma4-unified"):
        make.expected(here / name, pathlib.Path(work))
