#!/usr/bin/env python3
"""synthetic.py SHAPE DONOR.gguf OUT.gguf: a random model with the tokenizer of DONOR (the demo model's F16 file).

    moe, mla, mla-joint    2 layers, F32: what importance is compared with llama-imatrix on

    speed     200M parameters, F16, random weights that keep activations in range; vocabulary padded to 32000
    speed-moe 190M parameters, F16, 8 experts of which 2
    large     12 GB, BF16, 27 layers shaped as Llama-3-8B's; weights are one random block over and over
    70b       80 layers shaped as Llama-3-70B's, its number of tokens, BF16
    405b      one layer shaped as Llama-3.1-405B's, BF16
    r1        one MoE layer shaped as DeepSeek-R1's, BF16

The last three are sparse files: embedding, norms and router are random, everything else is a hole that reads as zeros, so
that tokens still spread over the experts. Needs gguf and numpy.
"""
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

SHAPE, DONOR, OUT = sys.argv[1:]
donor = gguf.GGUFReader(DONOR)
random = np.random.default_rng(1)
WIDTH, LAYERS, HEADS, KEY_HEADS, HEAD, FFN, VOCABULARY = {
    "moe": (256, 2, 4, 2, 64, 192, 2048), "mla": (256, 2, 4, 1, 48, 128, 2048), "mla-joint": (256, 2, 4, 4, 48, 128, 2048),
    "speed": (1024, 12, 16, 4, 64, 2816, 32000), "speed-moe": (768, 8, 12, 4, 64, 1024, 32000),
    "large": (4096, 27, 32, 8, 128, 14336, 2048), "70b": (8192, 80, 64, 8, 128, 28672, 128256),
    "405b": (16384, 1, 128, 8, 128, 53248, 2048), "r1": (7168, 1, 128, 1, 192, 2048, 2048)}[SHAPE]
EXPERTS = {"speed-moe": 8, "r1": 256, "moe": 8, "mla": 8, "mla-joint": 8}.get(SHAPE, 0)
# Ranks of queries and of keys and values; elements of a head that do not turn, that do, and of its value.
LATENT = {"r1": (1536, 512, 128, 64, 128), "mla": (96, 64, 32, 16, 32), "mla-joint": (96, 64, 32, 16, 32)}.get(SHAPE)
USED, GROUPS, GROUPS_USED = (8, 8, 4) if SHAPE == "r1" else (3, 4, 2)
SPARSE = SHAPE in ("70b", "405b", "r1")
KIND = Type.F16 if SHAPE.startswith("speed") else Type.F32 if LAYERS == 2 else Type.BF16
BLOCK = (random.standard_normal(1 << 24, np.float32) * 0.02).astype(np.float32)

writer = gguf.GGUFWriter(OUT, "deepseek2" if LATENT else "llama")
writer.add_name(SHAPE)
writer.add_context_length(4096)
writer.add_block_count(LAYERS)
writer.add_embedding_length(WIDTH)
writer.add_feed_forward_length(FFN)
writer.add_head_count(HEADS)
writer.add_head_count_kv(KEY_HEADS)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_freq_base(10000)
writer.add_vocab_size(VOCABULARY)
tokens = donor.fields["tokenizer.ggml.tokens"].contents()
kinds = donor.fields["tokenizer.ggml.token_type"].contents()
tokens += [f"<unused {i}>" for i in range(VOCABULARY - len(tokens))]
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("llama-bpe")
writer.add_token_list(tokens)
writer.add_token_types(kinds + [gguf.TokenType.UNUSED] * (VOCABULARY - len(kinds)))
writer.add_token_merges(donor.fields["tokenizer.ggml.merges"].contents())
writer.add_bos_token_id(0)
writer.add_eos_token_id(1)
writer.add_add_bos_token(True)

tensors = [("token_embd.weight", [WIDTH, VOCABULARY]), ("output.weight", [WIDTH, VOCABULARY]), ("output_norm.weight", [WIDTH])]


def layer(index, *parts):
    tensors.extend((f"blk.{index}.{name}.weight", shape) for name, *shape in parts)


if LATENT:
    query, latent, nope, turning, value = LATENT
    joint = SHAPE == "mla-joint"
    for key, number in [
            ("attention.q_lora_rank", query), ("attention.kv_lora_rank", latent),
            ("attention.key_length", nope + turning if joint else latent + turning),
            ("attention.value_length", value if joint else latent), ("rope.dimension_count", turning),
            ("leading_dense_block_count", LAYERS - 1), ("expert_count", EXPERTS), ("expert_used_count", USED),
            ("expert_shared_count", 1), ("expert_feed_forward_length", FFN), ("expert_group_count", GROUPS),
            ("expert_group_used_count", GROUPS_USED), ("expert_gating_func", 2)]:
        writer.add_uint32(f"deepseek2.{key}", number)
    if not joint:
        writer.add_uint32("deepseek2.attention.key_length_mla", nope + turning)
        writer.add_uint32("deepseek2.attention.value_length_mla", value)
    writer.add_float32("deepseek2.expert_weights_scale", 2.5)
    writer.add_bool("deepseek2.expert_weights_norm", True)
    expansion = [("attn_kv_b", latent, HEADS * (nope + value))] if joint else [
        ("attn_k_b", nope, latent, HEADS), ("attn_v_b", latent, value, HEADS)]
    for i in range(LAYERS):
        layer(
            i, ("attn_norm", WIDTH), ("attn_q_a", WIDTH, query), ("attn_q_a_norm", query),
            ("attn_q_b", query, HEADS * (nope + turning)), ("attn_kv_a_mqa", WIDTH, latent + turning),
            ("attn_kv_a_norm", latent), *expansion, ("attn_output", HEADS * value, WIDTH), ("ffn_norm", WIDTH))
        if i < LAYERS - 1:
            layer(i, ("ffn_gate", WIDTH, FFN), ("ffn_up", WIDTH, FFN), ("ffn_down", FFN, WIDTH))
            continue
        layer(
            i, ("ffn_gate_inp", WIDTH, EXPERTS), ("ffn_gate_exps", WIDTH, FFN, EXPERTS),
            ("ffn_up_exps", WIDTH, FFN, EXPERTS), ("ffn_down_exps", FFN, WIDTH, EXPERTS), ("ffn_gate_shexp", WIDTH, FFN),
            ("ffn_up_shexp", WIDTH, FFN), ("ffn_down_shexp", FFN, WIDTH))
        tensors.append((f"blk.{i}.exp_probs_b.bias", [EXPERTS]))
else:
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_rope_dimension_count(HEAD)
    if EXPERTS:
        writer.add_expert_count(EXPERTS)
        writer.add_expert_used_count(2)
    for i in range(LAYERS):
        layer(
            i, ("attn_norm", WIDTH), ("attn_q", WIDTH, HEADS * HEAD), ("attn_k", WIDTH, KEY_HEADS * HEAD),
            ("attn_v", WIDTH, KEY_HEADS * HEAD), ("attn_output", HEADS * HEAD, WIDTH), ("ffn_norm", WIDTH))
        if EXPERTS:
            layer(
                i, ("ffn_gate_inp", WIDTH, EXPERTS), ("ffn_gate_exps", WIDTH, FFN, EXPERTS),
                ("ffn_up_exps", WIDTH, FFN, EXPERTS), ("ffn_down_exps", FFN, WIDTH, EXPERTS))
        else:
            layer(i, ("ffn_gate", WIDTH, FFN), ("ffn_up", WIDTH, FFN), ("ffn_down", FFN, WIDTH))


def exact(name, shape):
    return len(shape) == 1 or "ffn_gate_inp" in name


def size(name, shape):
    return int(np.prod(shape)) * (4 if exact(name, shape) or KIND == Type.F32 else 2)


def stored(values):
    if KIND == Type.BF16:
        return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return values.astype(np.float16 if KIND == Type.F16 else np.float32).tobytes()


for name, shape in tensors:
    kind = Type.F32 if exact(name, shape) else KIND
    writer.add_tensor_info(name, shape[::-1], np.dtype(np.float32), size(name, shape), raw_dtype=kind)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_ti_data_to_file()
file = writer.fout[0]
offset = (file.tell() + 31) // 32 * 32
for name, shape in tensors:
    count = int(np.prod(shape))
    file.seek(offset)
    if name.endswith("norm.weight"):
        file.write(np.ones(count, np.float32).tobytes())
    elif exact(name, shape):
        file.write(np.resize(BLOCK, count).tobytes() if KIND != Type.F32 else (
            random.standard_normal(count, np.float32) / shape[0] ** 0.5).tobytes())
    elif not SPARSE or name == "token_embd.weight":
        for start in range(0, count, BLOCK.size):
            part = BLOCK[:min(BLOCK.size, count - start)]
            # Small models get weights of their own for every tensor, of a size that keeps activations near 1.
            own = random.standard_normal(count, np.float32) / shape[0] ** 0.5 if KIND == Type.F32 else part
            file.write(stored(own))
    offset += (size(name, shape) + 31) // 32 * 32
file.truncate(offset)
writer.close()
