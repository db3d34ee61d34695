#!/usr/bin/env python3
"""Makes the golden models of Gemma 3 and 4: small random models, and the logits that `transformers` gives for them.

    python3 gemma_golden.py            # needs torch, transformers 5, gguf, numpy

The files are those of golden.py. `gemma3-long.golden.gguf` has a longer text for the model `gemma3` with a window of
400 tokens, and the logits of its last positions.
"""
import copy
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers as hf

from long_text import write_long

HERE = Path(__file__).parent
VOCABULARY, WIDTH, WINDOWS, LENGTH = 64, 32, 2, 24
FULL, SLIDING = "full_attention", "sliding_attention"
COMMON = dict(
    vocab_size=VOCABULARY, hidden_size=WIDTH, num_attention_heads=2, num_key_value_heads=2, head_dim=16,
    intermediate_size=32, max_position_embeddings=1024, rms_norm_eps=1e-6, sliding_window=8, tie_word_embeddings=True,
    attn_implementation="eager")
GEMMA4 = COMMON | dict(
    global_head_dim=32, hidden_size_per_layer_input=0, final_logit_softcapping=5.0, rope_parameters={
        FULL: dict(rope_type="proportional", partial_rotary_factor=0.25, rope_theta=1e6),
        SLIDING: dict(rope_type="default", rope_theta=1e4)})
CASES = {
    "gemma3": (hf.Gemma3TextConfig, COMMON | dict(
        num_hidden_layers=7, query_pre_attn_scalar=16, rope_parameters={
            FULL: dict(rope_type="linear", factor=8.0, rope_theta=1e6),
            SLIDING: dict(rope_type="default", rope_theta=1e4)})),
    "gemma4": (hf.Gemma4TextConfig, GEMMA4 | dict(
        num_hidden_layers=4, layer_types=[SLIDING, FULL] * 2, attention_k_eq_v=True, num_global_key_value_heads=1)),
    "gemma4-moe": (hf.Gemma4TextConfig, GEMMA4 | dict(
        num_hidden_layers=2, layer_types=[SLIDING, FULL], attention_k_eq_v=True, num_global_key_value_heads=1,
        enable_moe_block=True, num_experts=6, top_k_experts=2, moe_intermediate_size=32)),
    "gemma4-shared": (hf.Gemma4TextConfig, GEMMA4 | dict(
        num_hidden_layers=6, layer_types=[SLIDING, SLIDING, FULL] + [SLIDING, SLIDING, FULL], num_kv_shared_layers=3,
        use_double_wide_mlp=True, hidden_size_per_layer_input=16, vocab_size_per_layer_input=VOCABULARY)),
}


def randomize(model):
    generator = torch.Generator().manual_seed(1)
    for name, value in model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if value.dim() == 1:
            # Gemma 3 adds 1 to the weights of norms.
            value.copy_(noise * 0.2 + (0 if isinstance(model.config, hf.Gemma3TextConfig) else 1))
        else:
            spread = 1.0 if "embed_tokens" in name else 1.5
            # What F16 holds exactly, so that the file's weights are the model's.
            value.copy_((noise * spread / value.shape[-1] ** 0.5).half().float())


NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
    "post_feedforward_layernorm_1": "post_ffw_norm_1", "post_feedforward_layernorm_2": "post_ffw_norm_2",
    "pre_feedforward_layernorm_2": "pre_ffw_norm_2", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "router.proj": "ffn_gate_inp", "per_layer_input_gate": "inp_gate",
    "per_layer_projection": "proj", "post_per_layer_input_norm": "post_norm",
}
OTHERS = {
    "layer_scalar": "layer_output_scale.weight", "router.scale": "ffn_gate_inp.scale",
    "router.per_expert_scale": "ffn_down_exps.scale", "experts.gate_up_proj": "ffn_gate_up_exps.weight",
    "experts.down_proj": "ffn_down_exps.weight",
}
WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
    "model.embed_tokens_per_layer.weight": "per_layer_token_embd.weight",
    "model.per_layer_model_projection.weight": "per_layer_model_proj.weight",
    "model.per_layer_projection_norm.weight": "per_layer_proj_norm.weight",
}


def tensors(model):
    config = model.config
    for name, value in model.state_dict().items():
        value = value.numpy()
        if isinstance(config, hf.Gemma3TextConfig) and "norm" in name:
            value = value + 1
        if name == "lm_head.weight":
            continue
        if name in WHOLE:
            yield WHOLE[name], value
            continue
        _, _, layer, rest = name.split(".", 3)
        yield f"blk.{layer}." + (OTHERS.get(rest) or NAMES[rest.removesuffix(".weight")] + ".weight"), value
    if isinstance(config, hf.Gemma4TextConfig):
        # A quarter of each head rotates.
        yield "rope_freqs.weight", np.array([1.0] * 4 + [1e30] * 12, np.float32)


def write(name, model):
    config = model.config
    architecture = "gemma3" if isinstance(config, hf.Gemma3TextConfig) else "gemma4"
    layers = config.num_hidden_layers
    writer = gguf.GGUFWriter(HERE / f"{name}.gguf", architecture)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(VOCABULARY)
    writer.add_block_count(layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(WIDTH)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(1e6)
    writer.add_rope_freq_base_swa(1e4)
    writer.add_sliding_window(config.sliding_window)
    if architecture == "gemma3":
        writer.add_head_count_kv(2)
        writer.add_key_length(16)
        writer.add_value_length(16)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(8.0)
    else:
        slides = [kind == SLIDING for kind in config.layer_types]
        shared = config.num_kv_shared_layers
        writer.add_head_count_kv([2 if slide or not config.attention_k_eq_v else 1 for slide in slides])
        writer.add_key_length(32)
        writer.add_value_length(32)
        writer.add_key_length_swa(16)
        writer.add_value_length_swa(16)
        writer.add_rope_dimension_count(32)
        writer.add_rope_dimension_count_swa(16)
        writer.add_sliding_window_pattern(slides)
        writer.add_shared_kv_layers(shared)
        writer.add_embedding_length_per_layer_input(config.hidden_size_per_layer_input)
        writer.add_feed_forward_length([
            config.intermediate_size * (2 if shared and layer >= layers - shared else 1) for layer in range(layers)])
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
        if config.enable_moe_block:
            writer.add_expert_count(config.num_experts)
            writer.add_expert_used_count(config.top_k_experts)
            writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    for tensor, value in tensors(model):
        exact = value.ndim == 1 or "ffn_gate_inp" in tensor
        writer.add_tensor(tensor, value.astype(np.float32 if exact else np.float16))
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def golden(name, model, windows, length, kept):
    tokens = torch.randint(0, VOCABULARY, (windows, length), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        logits = model(tokens).logits[:, -kept:].float().numpy()
    writer = gguf.GGUFWriter(HERE / f"{name}.golden.gguf", "golden")
    writer.add_tensor("tokens", tokens.numpy().astype(np.int32))
    writer.add_tensor("logits", logits)
    finish(writer)
    print(f"{name}: {sum(p.numel() for p in model.parameters())} weights, logits of {logits.std():.2f}")


for name, (config, arguments) in CASES.items():
    made = hf.AutoModelForCausalLM.from_config(config(**arguments)).eval()
    with torch.no_grad():
        randomize(made)
    made.tie_weights()
    write(name, made)
    golden(name, made, WINDOWS, LENGTH, LENGTH)
    if name == "gemma3":
        long = hf.AutoModelForCausalLM.from_config(config(**arguments | dict(sliding_window=400))).eval()
        long.load_state_dict(made.state_dict())
        golden("gemma3-long", long, 1, 900, 24)
    if name == "gemma4-shared":
        long = hf.AutoModelForCausalLM.from_config(config(**arguments | dict(sliding_window=512))).eval()
        long.load_state_dict(made.state_dict())
        write_long(name, long, VOCABULARY)
