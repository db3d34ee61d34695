"""Makes stock_other.json: stock.json for architectures without a forward pass here, and for more of those that have one.

usage: python3 stock_other.py LLAMA_QUANTIZE > stock_other.json
"""
import stock

D, V, L = 512, 4096, 16


def model(arch, layer, keys, count=L, kv=2, more=()):
    """Tensors of `count` layers, which `layer` lists by index, and the keys that the architecture's reader requires."""
    t = [("token_embd.weight", [D, V]), ("output.weight", [D, V]), ("output_norm.weight", [D])]
    for i in range(count):
        t += [(f"blk.{i}.{name}", dims) for name, dims in layer(i)]
    base = {"attention.layer_norm_epsilon": 1e-5, "block_count": count, "embedding_length": D, "attention.head_count": 8, "attention.head_count_kv": kv,
            "feed_forward_length": 1024, "rope.dimension_count": 64}
    return arch, ({f"{arch}.{k}": v for k, v in (base | keys).items()}, t + list(more))


def attention(kv=128):
    return [("attn_norm.weight", [D]), ("attn_q.weight", [D, 512]), ("attn_k.weight", [D, kv]),
            ("attn_v.weight", [D, kv]), ("attn_output.weight", [512, D])]


def latent():
    return [("attn_norm.weight", [D]), ("attn_q_a.weight", [D, 256]), ("attn_q_a_norm.weight", [256]),
            ("attn_q_b.weight", [256, 768]), ("attn_kv_a_mqa.weight", [D, 320]), ("attn_kv_a_norm.weight", [256]),
            ("attn_k_b.weight", [64, 256, 8]), ("attn_v_b.weight", [256, 64, 8]), ("attn_output.weight", [512, D])]


def dense(f=1024):
    return [("ffn_norm.weight", [D]), ("ffn_gate.weight", [D, f]), ("ffn_up.weight", [D, f]),
            ("ffn_down.weight", [f, D])]


def experts(f=256, n=16, gate=True, shared=True):
    names = (["gate"] if gate else []) + ["up"]
    t = [("ffn_norm.weight", [D]), ("ffn_gate_inp.weight", [D, n]), ("exp_probs_b.bias", [n])]
    t += [(f"ffn_{x}_exps.weight", [D, f, n]) for x in names] + [("ffn_down_exps.weight", [f, D, n])]
    if shared:
        t += [(f"ffn_{x}_shexp.weight", [D, f]) for x in names] + [("ffn_down_shexp.weight", [f, D])]
    return t


def mamba():
    return [("attn_norm.weight", [D]), ("ssm_in.weight", [D, 2304]), ("ssm_conv1d.weight", [4, 1280]),
            ("ssm_conv1d.bias", [1280]), ("ssm_dt.bias", [16]), ("ssm_a", [1, 16]), ("ssm_d", [1, 16]),
            ("ssm_norm.weight", [256, 4]), ("ssm_out.weight", [1024, D])]


def delta():
    """Kimi's linear attention."""
    return [("attn_norm.weight", [D])] + [(f"attn_{x}.weight", [D, 512]) for x in "qkv"] + [
        (f"ssm_conv1d_{x}.weight", [4, 1, 512]) for x in "qkv"] + [
        ("ssm_f_a.weight", [D, 64]), ("ssm_f_b.weight", [64, 512]), ("ssm_g_a.weight", [D, 64]),
        ("ssm_g_b.weight", [64, 512]), ("ssm_beta.weight", [D, 8]), ("ssm_a", [1, 8]), ("ssm_dt.bias", [512]),
        ("ssm_norm.weight", [64]), ("attn_output.weight", [512, D])]


SSM = {"ssm.conv_kernel": 4, "ssm.inner_size": 1024, "ssm.state_size": 64, "ssm.time_step_rank": 16, "ssm.group_count": 4}
MOE = {"expert_count": 16, "expert_used_count": 4, "expert_feed_forward_length": 256, "expert_shared_count": 1,
       "expert_shared_feed_forward_length": 256, "expert_weights_scale": 2.5, "expert_weights_norm": True,
       "expert_gating_func": 2, "leading_dense_block_count": 1}
MLA = {"attention.q_lora_rank": 256, "attention.kv_lora_rank": 256, "attention.key_length": 320,
       "attention.value_length": 256, "attention.key_length_mla": 96, "attention.value_length_mla": 64}
INDEXER = {"attention.indexer.head_count": 4, "attention.indexer.key_length": 64, "attention.indexer.top_k": 2048}
HYPER = {"hyper_connection.count": 4, "hyper_connection.sinkhorn_iterations": 20, "hyper_connection.epsilon": 1e-6}
KDA = {"kda.head_dim": 64, "kda.gate_lower_bound": -5.0, "ssm.conv_kernel": 4}


def nemotron(i):
    return mamba() if i % 4 in (0, 2) else experts(gate=False) if i % 4 == 1 else attention()


def windows(i):
    return attention() + (dense() if i == 0 else experts())


def gated(i):
    return [("attn_gate.weight", [D, 8]), ("attn_q_norm.weight", [64]), ("attn_k_norm.weight", [64])] + windows(i)


def deepseek4(i):
    t = [("attn_norm.weight", [D]), ("attn_q_a.weight", [D, 256]), ("attn_q_b.weight", [256, 512]),
         ("attn_kv.weight", [D, 256]), ("attn_output_a.weight", [512, 512]), ("attn_output_b.weight", [512, D]),
         ("attn_sinks.weight", [8]), ("hc_attn_fn.weight", [2048, 24]), ("hc_ffn_fn.weight", [2048, 24])]
    if i > 1:
        t += [("attn_compressor_kv.weight", [D, 512]), ("attn_compressor_gate.weight", [D, 512]),
              ("indexer.attn_q_b.weight", [256, 256]), ("indexer.proj.weight", [D, 4])]
    return t + [("ffn_gate_tid2eid.weight", [4, V])][:i < 3] + experts()


def glm5(i):
    t = delta() if i % 4 != 3 else latent() + [
        ("indexer.attn_q_b.weight", [256, 256]), ("indexer.attn_k.weight", [D, 64]), ("indexer.proj.weight", [D, 4]),
        ("indexer_compressor_gate.weight", [D, 256]), ("indexer_compressor_ape.weight", [256, 4])]
    t += [("hc_attn_fn.weight", [2048, 24]), ("hc_ffn_fn.weight", [2048, 24])]
    return t + (dense() if i == 0 else experts()) + ([("nextn.eh_proj.weight", [1024, D])] if i == L - 1 else [])


def kimi(i):
    return (delta() if i % 4 != 3 else latent()) + (dense() if i == 0 else experts())


def llama4(i):
    return attention() + (experts() if i % 2 else dense())


def lfm2(i):
    short = [("attn_norm.weight", [D]), ("shortconv.in_proj.weight", [D, 1536]), ("shortconv.conv.weight", [3, D]),
             ("shortconv.out_proj.weight", [D, D])]
    return (attention() if i % 4 == 2 else short) + dense()


def hybrid(i):
    return (attention() if i % 4 == 3 else mamba()) + experts()


per_layer = lambda yes, no, test: [yes if test(i) else no for i in range(L)]
MODELS = {
    "nemotron_h_moe": model("nemotron_h_moe", nemotron, SSM | MOE | {
        "attention.head_count_kv": per_layer(2, 0, lambda i: i % 4 == 3),
        "feed_forward_length": per_layer(256, 0, lambda i: i % 4 == 1)}),
    "deepseek4": model("deepseek4", deepseek4, MOE | MLA | INDEXER | HYPER | {
        "expert_gating_func": 4, "leading_dense_block_count": 0, "attention.sliding_window": 128, "attention.output_group_count": 2,
        "attention.output_lora_rank": 256, "attention.compress_rope_freq_base": 1e4, "hash_layer_count": 3,
        "swiglu_clamp_exp": 10.0, "attention.compress_ratios": [4] * L}, kv=1),
    "glm5-next": model("glm5-next", glm5, MOE | MLA | INDEXER | HYPER | KDA | SSM | {
        "attention.indexer.kpool": 4,
        "attention.head_count_kv": per_layer(1, 0, lambda i: i % 4 == 3)}),
    "laguna": model("laguna", gated, MOE | {"attention.sliding_window": 512}),
    "step35": model("step35", gated, MOE | {
        "attention.sliding_window_pattern": per_layer(True, False, lambda i: i % 4 < 3), "attention.sliding_window": 512}),
    "mimo2": model("mimo2", windows, MOE | {
        "attention.sliding_window_pattern": per_layer(True, False, lambda i: i % 4 < 3), "attention.sliding_window": 128}),
    "llama4": model("llama4", llama4, MOE | {"interleave_moe_layer_step": 2}, kv=8),
    "lfm2": model("lfm2", lfm2, {
        "shortconv.l_cache": 3, "attention.head_count_kv": per_layer(2, 0, lambda i: i % 4 == 2)}),
    "granitehybrid": model("granitehybrid", hybrid, SSM | MOE | {
        "attention.head_count_kv": per_layer(2, 0, lambda i: i % 4 == 3), "logit_scale": 8.0}),
    "bailingmoe3": model("bailingmoe3", kimi, MOE | MLA | KDA | {
        "attention.head_count_kv": per_layer(1, 0, lambda i: i % 4 == 3)}),
    "kimi-linear": model("kimi-linear", kimi, MOE | MLA | KDA | {
        "attention.head_count_kv": per_layer(1, 0, lambda i: i % 4 == 3)}),
    "minimax-m3": model("minimax-m3", lambda i: gated(i) + [
        ("indexer.q_proj.weight", [D, 256]), ("indexer.k_proj.weight", [D, 64])], MOE | INDEXER | {
        "attention.indexer.block_size": 128, "attention.indexer.local_blocks": 1}),
    "cohere2moe": model("cohere2moe", windows, MOE | {"attention.sliding_window": 512, "logit_scale": 0.25}),
    "glm4moe": model("glm4moe", lambda i: windows(i) + (
        [("nextn.eh_proj.weight", [1024, D]), ("nextn.embed_tokens.weight", [D, V])] if i == L - 1 else []),
        MOE | {"nextn_predict_layers": 1}),
    "minimax-m2": model("minimax-m2", lambda i: attention() + experts(shared=False), MOE),
    "hy_v3": model("hy_v3", windows, MOE),
    "phi3": model("phi3", lambda i: [
        ("attn_norm.weight", [D]), ("attn_qkv.weight", [D, 768]), ("attn_output.weight", [D, D]),
        ("ffn_norm.weight", [D]), ("ffn_up.weight", [D, 2048]), ("ffn_down.weight", [1024, D])], {}),
    "olmo2": model("olmo2", lambda i: attention()[1:] + dense()[1:], {}),
    "granite": model("granite", lambda i: attention() + dense(), {"logit_scale": 8.0}),
    "mistral4": model("mistral4", lambda i: latent() + [
        ("ffn_norm.weight", [D]), ("ffn_gate_inp.weight", [D, 16]), ("ffn_gate_up_exps.weight", [D, 512, 16]),
        ("ffn_down_exps.weight", [256, D, 16])] + dense(256)[1:], MOE | MLA, kv=1),
    "glm-dsa": model("glm-dsa", lambda i: latent() + [
        ("indexer.attn_q_b.weight", [256, 256]), ("indexer.attn_k.weight", [D, 64]), ("indexer.proj.weight", [D, 4])] + (
        dense() if i == 0 else experts()), MOE | MLA | INDEXER, kv=1),
    "exaone-moe": model("exaone-moe", windows, MOE | {"attention.sliding_window": 128}),
}

MIXES = "Q8_0 Q5_K_M Q4_K_M Q4_0 IQ4_XS Q3_K_M IQ3_XXS Q2_K IQ2_M IQ1_S MXFP4_MOE".split()

if __name__ == "__main__": stock.main(MODELS, MIXES)
