#!/usr/bin/env python3
"""families.py FAMILY SIZE OUT: a random model of a family as a Hugging Face directory, with a tokenizer of this tree.

    FAMILY  llama qwen35 qwen35moe qwen3next gemma3 gemma4 gemma4-moe gemma4-shared gpt-oss
    SIZE    small: a few million parameters, whose rows are whole blocks of 256
            speed: about 200 million parameters, vocabulary padded to 32000

Matrices are random with a spread that keeps activations near 1, norms are near 1, experts of gpt-oss are MXFP4. Needs
torch, transformers 5 and safetensors.
"""
import json, pathlib, shutil, sys

import torch, transformers as T
from safetensors.torch import load_file, save_file

FAMILY, SIZE, OUT = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
root = pathlib.Path(__file__).resolve().parents[2]
is_gemma = FAMILY.startswith("gemma")
donor = root / ("Tests/CommandTests/Fixtures/reference/gemma/tokenizer" if is_gemma else "Examples/demo-model")
large = SIZE == "speed"
tokens = len(json.loads((donor / "tokenizer.json").read_text())["model"]["vocab"])
tokens += 0 if is_gemma else 64 - tokens % 64
ids = dict(bos_token_id=2, eos_token_id=1, pad_token_id=0) if is_gemma else dict(bos_token_id=0, eos_token_id=1)
base = dict(vocab_size=32000 if large else tokens, max_position_embeddings=4096, tie_word_embeddings=is_gemma, **ids)
full, sliding, linear = "full_attention", "sliding_attention", "linear_attention"


def of(small, speed):
    return speed if large else small


def qwen():
    moe = dict(num_experts=of(8, 16), num_experts_per_tok=of(2, 4), moe_intermediate_size=of(256, 512),
               shared_expert_intermediate_size=of(256, 512))
    text = dict(base, hidden_size=of(256, 1024), num_hidden_layers=of(4, 12 if FAMILY == "qwen35" else 5),
                num_attention_heads=of(4, 8), num_key_value_heads=2, head_dim=of(64, 128),
                linear_key_head_dim=of(32, 128), linear_value_head_dim=of(32, 128), linear_num_key_heads=4,
                linear_num_value_heads=8)
    if FAMILY == "qwen35": text["intermediate_size"] = of(512, 2816)
    else: text.update(moe)
    if FAMILY == "qwen3next": return T.Qwen3NextConfig(**text, architectures=["Qwen3NextForCausalLM"])
    text["rope_parameters"] = dict(rope_type="default", rope_theta=1e7, partial_rotary_factor=0.25,
                                   mrope_section=of([3, 3, 2], [6, 5, 5]), mrope_interleaved=True)
    kind = "Qwen3_5" + ("Moe" if FAMILY == "qwen35moe" else "")
    return getattr(T, kind + "TextConfig")(**text, architectures=[kind + "ForCausalLM"])


def gemma():
    shared = dict(base, hidden_size=of(256, 1024), intermediate_size=of(512, 4096), num_attention_heads=of(4, 8),
                  num_key_value_heads=2, head_dim=of(64, 128), sliding_window=of(64, 512))
    count = of(6, 12)
    rotation = {full: {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6},
                sliding: {"rope_type": "default", "rope_theta": 1e4}}
    kinds = [full if (i + 1) % 6 == 0 else sliding for i in range(count)]
    if FAMILY == "gemma3":
        return T.Gemma3TextConfig(
            **shared, num_hidden_layers=count, query_pre_attn_scalar=shared["head_dim"],
            rope_parameters={full: {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}, sliding: rotation[sliding]},
            architectures=["Gemma3ForCausalLM"])
    more = dict(hidden_size_per_layer_input=0, attention_k_eq_v=True, num_global_key_value_heads=1)
    if FAMILY == "gemma4-moe":
        more.update(enable_moe_block=True, num_experts=of(8, 16), top_k_experts=of(2, 4), moe_intermediate_size=of(256, 512))
        shared["intermediate_size"] = of(512, 1024)
        kinds = kinds[:6]
    if FAMILY == "gemma4-shared":
        kinds = ([sliding] * 3 + [full]) * of(2, 3)
        more = dict(hidden_size_per_layer_input=of(256, 256), vocab_size_per_layer_input=base["vocab_size"],
                    num_kv_shared_layers=4, use_double_wide_mlp=True)
        shared["intermediate_size"] = of(512, 2048)
    return T.Gemma4TextConfig(
        **shared, **more, global_head_dim=2 * shared["head_dim"], rope_parameters=rotation, num_hidden_layers=len(kinds),
        layer_types=kinds, final_logit_softcapping=30.0, architectures=["Gemma4ForCausalLM"])


def llama():
    return T.LlamaConfig(**base, hidden_size=of(256, 1024), intermediate_size=of(512, 2816), num_hidden_layers=of(4, 12),
                         num_attention_heads=of(4, 16), num_key_value_heads=of(2, 4), architectures=["LlamaForCausalLM"])


def gpt_oss():
    return T.GptOssConfig(
        **base, hidden_size=of(256, 1024), intermediate_size=of(256, 512), num_hidden_layers=of(4, 6),
        num_attention_heads=of(4, 16), num_key_value_heads=2, head_dim=64, num_local_experts=of(8, 16),
        num_experts_per_tok=of(2, 4), sliding_window=128, architectures=["GptOssForCausalLM"])


LEVELS = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])


def mxfp4(matrix):
    groups = matrix.float().reshape(*matrix.shape[:-1], -1, 32)
    exponents = (groups.abs().amax(-1) / 6).clamp_min(2.0 ** -100).log2().ceil()
    edges = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])
    values = groups / 2.0 ** exponents.unsqueeze(-1)
    codes = (torch.bucketize(values.abs(), edges) + 8 * (values < 0)).to(torch.uint8)
    return codes[..., 0::2] | codes[..., 1::2] << 4, (exponents + 127).to(torch.uint8)


torch.manual_seed(7)
config = gemma() if is_gemma else gpt_oss() if FAMILY == "gpt-oss" else llama() if FAMILY == "llama" else qwen()
model = getattr(T, config.architectures[0])(config)
for name, tensor in model.state_dict().items():
    if name.endswith(("A_log", "dt_bias")): tensor.copy_(torch.rand(tensor.shape) * 2 - 1)
    elif "layer_scalar" in name or "per_expert_scale" in name or "router.scale" in name: tensor.copy_(torch.ones(tensor.shape))
    elif "norm" in name:
        stored = 0 if FAMILY == "gemma3" or FAMILY.startswith("qwen") and "linear_attn.norm" not in name else 1
        tensor.copy_(stored + torch.randn(tensor.shape) * 0.05)
    elif tensor.ndim < 2: tensor.copy_(torch.randn(tensor.shape) * 0.05)
    elif "conv1d" in name: tensor.copy_(torch.randn(tensor.shape) * 0.5)
    elif "embed" in name: tensor.copy_(torch.randn(tensor.shape) * (config.hidden_size ** -0.5 if is_gemma else 0.7))
    else:
        inputs = tensor.shape[-2] if FAMILY == "gpt-oss" and tensor.ndim == 3 else tensor.shape[-1]
        tensor.copy_(torch.randn(tensor.shape) * inputs ** -0.5)
print(sum(p.numel() for p in model.parameters()) / 1e6, "million parameters")
shutil.rmtree(OUT, ignore_errors=True)
model.to(torch.bfloat16).save_pretrained(OUT)
if FAMILY == "gpt-oss":
    path = OUT / "model.safetensors"
    packed = {}
    for name, tensor in load_file(path).items():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            packed[name + "_blocks"], packed[name + "_scales"] = mxfp4(tensor.transpose(1, 2))
        else: packed[name] = tensor
    save_file(packed, path, metadata={"format": "pt"})
    text = json.loads((OUT / "config.json").read_text())
    text["quantization_config"] = {"quant_method": "mxfp4"}
    (OUT / "config.json").write_text(json.dumps(text, indent=1))
for file in donor.glob("tokenizer*"):
    if not (FAMILY.startswith("gemma4") and file.name == "tokenizer.model"): shutil.copy(file, OUT / file.name)
