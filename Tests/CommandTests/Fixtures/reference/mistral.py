#!/usr/bin/env python3
"""Makes the models of this folder in Mistral's own format, and what llama.cpp's converter makes of them with
--mistral-format.

    PYTHONPATH=LLAMA/gguf-py python3 mistral.py LLAMA DEMO

The arguments, packages and files are those of make.py; needs mistral_common too. The tokenizer is in `mistral-tokens`:
a small tekken.json of the demo tokenizer's merges, with fewer defined special tokens than it reserves. Digests of the
ids that mistral_common gives for mixed text go to Tests/TokenizersTests/Fixtures/tekken/expected.json.
"""
import base64, json, pathlib, shutil, sys, tempfile

sys.argv.append("none")  # make.py then only defines its functions.
import make
import torch
from conversion.mistral import MistralModel, MistralMoeModel
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from safetensors.torch import save_file

here = make.here
tokens = here / "mistral-tokens"
SPECIAL, BASE, EXTRA = 24, 300, 8
TOKENS = SPECIAL + BASE
CASED = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
PATTERN = (CASED + "*" + LOWER + "+|" + CASED + "+" + LOWER + r"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def tokenizer():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {chr(b): b for b in plain}
    alphabet |= {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in plain)}
    vocabulary = [bytes([b]) for b in range(256)]
    for merge in json.loads((make.arguments.demo / "tokenizer.json").read_text())["model"]["merges"]:
        parts = merge if isinstance(merge, list) else merge.split(" ")
        parts = [bytes(alphabet[c] for c in part) for part in parts]
        if all(part in vocabulary for part in parts) and b"".join(parts) not in vocabulary:
            vocabulary.append(b"".join(parts))
        if len(vocabulary) == BASE + EXTRA: break
    def text(data):
        try: return data.decode()
        except UnicodeDecodeError: return None
    special = [dict(rank=t["rank"], token_str=str(getattr(t["token_str"], "value", t["token_str"])), is_control=True)
               for t in Tekkenizer.DEPRECATED_SPECIAL_TOKENS]
    special += [dict(rank=len(special) + i, token_str=t, is_control=True) for i, t in enumerate(["[ARGS]", "[CALL_ID]"])]
    shutil.rmtree(tokens, ignore_errors=True)
    tokens.mkdir()
    (tokens / "tekken.json").write_text(json.dumps({
        "config": {"pattern": PATTERN, "num_vocab_tokens": len(vocabulary), "default_vocab_size": TOKENS,
                   "default_num_special_tokens": SPECIAL, "version": "v11"},
        "vocab": [dict(rank=i, token_bytes=base64.b64encode(t).decode(), token_str=text(t))
                  for i, t in enumerate(vocabulary)],
        "special_tokens": special}, separators=(",", ":")) + "\n")
    (tokens / "chat_template.jinja").write_text("{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}")


def ids():
    """Digests of ids, as those of Tests/TokenizersTests/Fixtures/tiktoken."""
    folder = here.parents[2] / "TokenizersTests" / "Fixtures"
    sys.path[:0] = [str(folder / "families"), str(folder)]
    import mixed
    def fnv1a(data):
        value = 0xCBF29CE484222325
        for byte in data: value = (value ^ byte) * 0x100000001B3 % 2 ** 64
        return f"{value:016x}"
    source = json.loads((folder / "families" / "source.json").read_text())
    tekken = Tekkenizer.from_file(tokens / "tekken.json")
    all = [tekken.encode(mixed.document(source, seed, 2100), bos=False, eos=False) for seed in range(100, 120)]
    (folder / "tekken").mkdir(exist_ok=True)
    (folder / "tekken" / "expected.json").write_text(json.dumps(
        [fnv1a(b"".join(i.to_bytes(4, "little") for i in one)) for one in all]) + "\n")


def dense(heads, key_heads, size, width=32, inner=48, layers=2, tied=False):
    shapes = {"tok_embeddings": (TOKENS, width), "norm": (width,)}
    if not tied: shapes["output"] = (TOKENS, width)
    for layer in range(layers):
        for name, shape in {
            "attention.wq": (heads * size, width), "attention.wk": (key_heads * size, width),
            "attention.wv": (key_heads * size, width), "attention.wo": (width, heads * size),
            "feed_forward.w1": (inner, width), "feed_forward.w2": (width, inner), "feed_forward.w3": (inner, width),
            "attention_norm": (width,), "ffn_norm": (width,)}.items():
            shapes[f"layers.{layer}.{name}"] = shape
    return shapes


def sparse(heads=4, width=32, inner=48, expert=24, experts=4, query=16, latent=24, plain=16, rotated=8, value=16):
    shapes = {"tok_embeddings": (TOKENS, width), "norm": (width,), "output": (TOKENS, width)}
    for layer in range(2):
        parts = {
            "attention.wq_a": (query, width), "attention.q_a_norm": (query,),
            "attention.wq_b": (heads * (plain + rotated), query), "attention.wkv_a_with_mqa": (latent + rotated, width),
            "attention.kv_a_norm": (latent,), "attention.wkv_b": (heads * (plain + value), latent),
            "attention.wo": (width, heads * value), "attention_norm": (width,), "ffn_norm": (width,)}
        def network(prefix, inner):
            parts.update({prefix + ".w1": (inner, width), prefix + ".w2": (width, inner), prefix + ".w3": (inner, width)})
        if layer == 0: network("feed_forward", inner)
        else:
            parts["gate"] = (experts, width)
            for index in range(experts): network(f"experts.{index}", expert)
            network("shared_experts", expert)
        shapes |= {f"layers.{layer}.{name}": shape for name, shape in parts.items()}
    return shapes


TOWER = {"vision_encoder.patch_conv": (4, 3, 2, 2), "vision_language_adapter.w_in": (4, 4),
         "patch_merger.merging_layer": (4, 16), "pre_mm_projector_norm": (4,)}
DENSE = dict(dim=32, n_layers=2, head_dim=16, hidden_dim=48, n_heads=4, n_kv_heads=2, norm_eps=1e-5, vocab_size=TOKENS)
YARN = dict(original_max_position_embeddings=64, factor=8, apply_scale=False, beta=32, alpha=1)
TEMPERATURE = dict(original_max_position_embeddings=64, beta=0.1)
MODELS = {
    "mistral-native": (MistralModel, dense(4, 2, 16, tied=True), DENSE | dict(
        rope_theta=1e6, tied_embeddings=True, max_position_embeddings=512)),
    "ministral3-native": (MistralModel, dense(4, 2, 16) | TOWER, DENSE | dict(
        rope_theta=1e6, tied_embeddings=False, max_position_embeddings=512, yarn=YARN, llama_4_scaling=TEMPERATURE,
        q_lora_rank=None, qk_rope_head_dim=None, qk_nope_head_dim=None, kv_lora_rank=None, v_head_dim=None,
        quantization=dict(qformat_weight="fp8_e4m3", qscheme_act="TENSOR"),
        vision_encoder=dict(hidden_size=4, patch_size=2, image_token_id=10))),
    "mistral-large3": (MistralMoeModel, sparse(), DENSE | dict(
        n_kv_heads=4, rope_theta=1e4, tied_embeddings=False, max_position_embeddings=512, yarn=YARN,
        llama_4_scaling=TEMPERATURE, q_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=16, kv_lora_rank=24,
        v_head_dim=16, moe=dict(
            expert_parallel=1, expert_model_parallel=1, route_every_n=1, first_k_dense_replace=1, num_experts=4,
            num_experts_per_tok=2, num_expert_groups=1, num_expert_groups_per_tok=1, routed_scale=1.5,
            expert_hidden_dim=24, num_shared_experts=1))),
}


def quantized(tensors):
    """FP8 with one scale for a matrix of a layer, and scales of activations, which have no use."""
    result = {}
    for name, tensor in tensors.items():
        if not name.startswith("layers.") or tensor.ndim < 2:
            result[name] = tensor
            continue
        scale = tensor.float().abs().amax() / 448
        base = name.removesuffix("weight")
        result |= {name: (tensor.float() / scale).to(torch.float8_e4m3fn), base + "qscale_weight": scale,
                   base + "qscale_act": torch.tensor(0.5)}
    for layer in range(2): result[f"layers.{layer}.attention.kv_fake_quantizer.qscale_act"] = torch.tensor(1.0)
    return result


def build(name, shapes, parameters, seed):
    torch.manual_seed(seed)
    tensors = {}
    for key, shape in shapes.items():
        spread = torch.randn(shape) * 0.06
        tensors[key + ".weight"] = (1 + spread if "norm" in key else spread).to(torch.bfloat16)
    if "quantization" in parameters: tensors = quantized(tensors)
    target = here / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    (target / "params.json").write_text(json.dumps(parameters, indent=1) + "\n")
    if name != "mistral-large3":
        save_file(tensors, target / "consolidated.safetensors")
        return target
    files = {key: f"consolidated-{1 + index % 2:05}-of-00002.safetensors" for index, key in enumerate(sorted(tensors))}
    for file in set(files.values()): save_file({k: tensors[k] for k in files if files[k] == file}, target / file)
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": files}
    (target / "consolidated.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    return target


tokenizer()
ids()
with tempfile.TemporaryDirectory() as work:
    for seed, (name, (converter, shapes, parameters)) in enumerate(MODELS.items(), 40):
        print(name, flush=True)
        target = build(name, shapes, parameters, seed)
        # The converter opens config.json too, and takes no part of it.
        (target / "config.json").write_text('{"architectures": [null]}')
        make.expected(target, pathlib.Path(work), converter, tokens)
        (target / "config.json").unlink()
