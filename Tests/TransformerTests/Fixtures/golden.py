#!/usr/bin/env python3
"""Makes the golden models of TransformerTests: small random models, and the logits that `transformers` gives for them.

    python3 golden.py            # needs torch, transformers, gguf, numpy

Per case `<name>.gguf` (F16 matrices, F32 norms; loads in llama.cpp) and `<name>.golden.gguf` with the token ids
[positions, windows] and the logits [vocabulary, positions, windows] of an FP32 forward pass.
"""
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers as hf

from long_text import write_long

HERE = Path(__file__).parent
VOCABULARY, WIDTH, LAYERS, WINDOWS, LENGTH = 64, 32, 2, 2, 24
COMMON = dict(
    vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=4, num_key_value_heads=2,
    intermediate_size=48, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=False,
    attn_implementation="eager")
LLAMA3 = dict(
    rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=16)
YARN = dict(
    rope_type="yarn", rope_theta=10000.0, factor=4.0, beta_fast=32, beta_slow=1, mscale=1.0, mscale_all_dim=1.0,
    original_max_position_embeddings=16)
MLA = dict(
    num_key_value_heads=4, kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16,
    moe_intermediate_size=16, n_routed_experts=8, num_experts_per_tok=3, first_k_dense_replace=1, n_group=4,
    topk_group=2)

# name: (configuration class, its arguments, GGUF architecture, form of the latent attention)
CASES = {
    "llama": (hf.LlamaConfig, dict(rope_parameters=LLAMA3, head_dim=24, attention_bias=True, mlp_bias=True), "llama", None),
    "mixtral": (hf.MixtralConfig, dict(num_local_experts=4, num_experts_per_tok=2), "llama", None),
    "qwen2": (hf.Qwen2Config, dict(tie_word_embeddings=True), "qwen2", None),
    "qwen2-yarn": (
        hf.Qwen2Config, dict(rope_parameters={k: v for k, v in YARN.items() if "mscale" not in k}), "qwen2", None),
    "qwen3": (hf.Qwen3Config, dict(head_dim=24), "qwen3", None),
    "qwen3moe": (
        hf.Qwen3MoeConfig,
        dict(head_dim=24, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=24, norm_topk_prob=True),
        "qwen3moe", None),
    "deepseek2-v2": (
        hf.DeepseekV2Config,
        MLA | dict(q_lora_rank=None, n_shared_experts=2, routed_scaling_factor=4.0, topk_method="group_limited_greedy",
                   rope_parameters=YARN | dict(mscale=0.707, mscale_all_dim=0.707)), "deepseek2", "absorbed"),
    "deepseek2-v2-lora": (
        hf.DeepseekV2Config,
        MLA | dict(q_lora_rank=24, n_shared_experts=2, routed_scaling_factor=4.0, topk_method="greedy", n_group=1,
                   topk_group=1, rope_parameters=YARN | dict(mscale=0.707, mscale_all_dim=0.707)), "deepseek2",
        "absorbed"),
    "deepseek2-v3": (
        hf.DeepseekV3Config,
        MLA | dict(q_lora_rank=24, n_shared_experts=1, routed_scaling_factor=2.5, norm_topk_prob=True,
                   rope_parameters=YARN), "deepseek2", "absorbed"),
    "deepseek2-v3-joint": (
        hf.DeepseekV3Config,
        MLA | dict(q_lora_rank=24, n_shared_experts=1, routed_scaling_factor=2.5, norm_topk_prob=True,
                   rope_parameters=YARN), "deepseek2", "joint"),
    # The window is shorter than the text. Readers of the file round YaRN's bounds, as `truncate` does.
    "gpt-oss": (
        hf.GptOssConfig,
        dict(head_dim=16, num_local_experts=6, num_experts_per_tok=3, sliding_window=7,
             rope_parameters={k: v for k, v in YARN.items() if "mscale" not in k} | dict(truncate=True)), "gpt-oss",
        None),
}


def randomize(model):
    generator = torch.Generator().manual_seed(1)
    state = model.state_dict()
    for name, value in state.items():
        noise = torch.randn(value.shape, generator=generator)
        if "e_score_correction" in name:
            value.copy_(noise * 0.2)
        elif name.endswith(("bias", "sinks")):
            value.copy_(noise * 0.2)
        elif value.dim() == 1:
            value.copy_(1 + noise * 0.2)
        else:
            # What F16 holds exactly, so that the file's weights are the model's.
            value.copy_((noise * 1.5 / value.shape[-1] ** 0.5).half().float())
    model.load_state_dict(state)


def interleaved(weight, heads):
    """Rows of each head from two halves to neighbouring pairs: llama's files turn neighbours."""
    shape = weight.shape
    return weight.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def llama3_factors(config):
    rope = config.rope_parameters
    size = config.head_dim
    frequencies = rope["rope_theta"] ** (-np.arange(0, size, 2) / size)
    lengths = 2 * np.pi / frequencies
    low = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    high = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    smooth = (rope["original_max_position_embeddings"] / lengths - rope["low_freq_factor"]) / (
        rope["high_freq_factor"] - rope["low_freq_factor"])
    between = 1 / ((1 - smooth) / rope["factor"] + smooth)
    return np.where(lengths < high, 1, np.where(lengths > low, rope["factor"], between)).astype(np.float32)


SIMPLE = {
    "input_layernorm.weight": "attn_norm.weight", "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp", "mlp.gate.weight": "ffn_gate_inp.weight",
    "mlp.gate.e_score_correction_bias": "exp_probs_b.bias", "block_sparse_moe.gate.weight": "ffn_gate_inp.weight",
    "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "mlp.router": "ffn_gate_inp",
}
# What gpt-oss calls otherwise.
OPENAI = {
    "post_attention_layernorm.weight": "post_attention_norm.weight", "self_attn.sinks": "attn_sinks.weight",
    "mlp.experts.down_proj_bias": "ffn_down_exps.bias",
}


def tensors(model, architecture, form):
    config = model.config
    for name, value in model.state_dict().items():
        value = value.numpy()
        if name == "model.embed_tokens.weight":
            yield "token_embd.weight", value
        elif name == "lm_head.weight":
            if not config.tie_word_embeddings:
                yield "output.weight", value
        elif name == "model.norm.weight":
            yield "output_norm.weight", value
        else:
            _, _, layer, rest = name.split(".", 3)
            block = f"blk.{layer}."
            if architecture == "gpt-oss" and rest in OPENAI:
                yield block + OPENAI[rest], value
            elif architecture == "gpt-oss" and "experts.gate_up_proj" in rest:
                suffix = ".bias" if rest.endswith("bias") else ".weight"
                for first, part in enumerate(("ffn_gate_exps", "ffn_up_exps")):
                    half = value[..., first::2]
                    yield block + part + suffix, half if suffix == ".bias" else half.swapaxes(1, 2)
            elif architecture == "gpt-oss" and rest.endswith("experts.down_proj"):
                yield block + "ffn_down_exps.weight", value.swapaxes(1, 2)
            elif rest.endswith(".experts.gate_up_proj"):
                half = value.shape[1] // 2
                yield block + "ffn_gate_exps.weight", value[:, :half]
                yield block + "ffn_up_exps.weight", value[:, half:]
            elif rest.endswith(".experts.down_proj"):
                yield block + "ffn_down_exps.weight", value
            elif "kv_b_proj" in rest:
                heads, nope, v = config.num_attention_heads, config.qk_nope_head_dim, config.v_head_dim
                if form == "joint":
                    yield block + "attn_kv_b.weight", value
                else:
                    split = value.reshape(heads, nope + v, config.kv_lora_rank)
                    yield block + "attn_k_b.weight", split[:, :nope].swapaxes(1, 2)
                    yield block + "attn_v_b.weight", split[:, nope:]
            else:
                key = next(k for k in sorted(SIMPLE, key=len, reverse=True) if rest.startswith(k))
                if architecture == "llama" and ("q_proj" in rest or "k_proj" in rest):
                    heads = config.num_attention_heads if "q_proj" in rest else config.num_key_value_heads
                    value = interleaved(value, heads)
                yield block + SIMPLE[key] + rest[len(key):], value
    if config.rope_parameters.get("rope_type") == "llama3":
        yield "rope_freqs.weight", llama3_factors(config)


def write(name, model, architecture, form):
    config = model.config
    writer = gguf.GGUFWriter(HERE / f"{name}.gguf", architecture)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(VOCABULARY)
    writer.add_block_count(LAYERS)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    if architecture == "deepseek2":
        joint = form == "joint"
        latent, nope, turning, v = (
            config.kv_lora_rank, config.qk_nope_head_dim, config.qk_rope_head_dim, config.v_head_dim)
        writer.add_head_count_kv(config.num_attention_heads if joint else 1)
        writer.add_key_length(nope + turning if joint else latent + turning)
        writer.add_value_length(v if joint else latent)
        if not joint:
            writer.add_key_length_mla(nope + turning)
            writer.add_value_length_mla(v)
        writer.add_rope_dimension_count(turning)
        writer.add_kv_lora_rank(latent)
        if config.q_lora_rank:
            writer.add_q_lora_rank(config.q_lora_rank)
        writer.add_leading_dense_block_count(config.first_k_dense_replace)
        writer.add_expert_count(config.n_routed_experts)
        writer.add_expert_shared_count(config.n_shared_experts)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_group_count(config.n_group)
        writer.add_expert_group_used_count(config.topk_group)
        writer.add_expert_weights_scale(config.routed_scaling_factor)
        sigmoid = isinstance(config, hf.DeepseekV3Config)
        writer.add_expert_weights_norm(sigmoid)
        writer.add_expert_gating_func(
            gguf.ExpertGatingFuncType.SIGMOID if sigmoid else gguf.ExpertGatingFuncType.SOFTMAX)
    else:
        size = getattr(config, "head_dim", None) or WIDTH // config.num_attention_heads
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(size)
        writer.add_value_length(size)
        writer.add_rope_dimension_count(size)
        if hasattr(config, "num_experts_per_tok"):
            writer.add_expert_used_count(config.num_experts_per_tok)
            writer.add_expert_count(getattr(config, "num_local_experts", None) or config.num_experts)
        if architecture == "qwen3moe":
            writer.add_expert_feed_forward_length(config.moe_intermediate_size)
        if architecture == "gpt-oss":
            writer.add_expert_feed_forward_length(config.intermediate_size)
            writer.add_sliding_window(config.sliding_window)
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if "mscale_all_dim" in rope:
            writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])
    for key, value in tensors(model, architecture, form):
        exact = value.ndim == 1 or "ffn_gate_inp" in key or key.endswith(".bias")
        writer.add_tensor(key, np.ascontiguousarray(value.astype(np.float32 if exact else np.float16)))
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    for name in sys.argv[1:] or CASES:
        kind, arguments, architecture, form = CASES[name]
        model = hf.AutoModelForCausalLM.from_config(kind(**(COMMON | arguments))).float().eval()
        randomize(model)
        tokens = torch.randint(0, VOCABULARY, (WINDOWS, LENGTH), generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            logits = model(tokens).logits
        write(name, model, architecture, form)
        writer = gguf.GGUFWriter(HERE / f"{name}.golden.gguf", "golden")
        writer.add_tensor("tokens", tokens.numpy().astype(np.int32))
        writer.add_tensor("logits", logits.numpy().astype(np.float32))
        finish(writer)
        if name == "gpt-oss":
            # The published models' window.
            long = hf.AutoModelForCausalLM.from_config(kind(**(COMMON | arguments | dict(sliding_window=128))))
            long.load_state_dict(model.state_dict())
            write_long(name, long.float().eval(), VOCABULARY)


main()
