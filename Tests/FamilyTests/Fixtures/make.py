#!/usr/bin/env python3
"""Makes the fixtures of FamilyTests: per architecture config.json, the names and shapes of stored tensors, the keys and
tensors that llama.cpp's converter makes of them, and logits of `transformers` in FP32.

    PYTHONPATH=LLAMA/gguf-py python3 make.py LLAMA [NAME ...]

LLAMA is llama.cpp's source as the sdist of llama-cpp-python 0.3.36 carries it (vendor/llama.cpp). Needs torch,
transformers 5.24 and safetensors. Weights are not stored: they follow from the tensors' names (`values`), which the
tests compute too.
"""
import argparse, base64, hashlib, json, pathlib, sys, tempfile

arguments = argparse.ArgumentParser()
arguments.add_argument("llama", type=pathlib.Path)
arguments.add_argument("names", nargs="*")
arguments = arguments.parse_args()
sys.path.insert(0, str(arguments.llama / "gguf-py"))
sys.path.insert(1, str(arguments.llama))

import gguf, numpy as np, torch, transformers as T
from conversion import ModelBase, ModelType, get_model_architecture, get_model_class
from conversion.base import TextModel
from safetensors.torch import save_file

here = pathlib.Path(__file__).resolve().parent
TOKENS, COLUMNS, LENGTH, POSITIONS = 272, 64, 40, [0, 3, 9, 15, 21, 27, 33, 39]
SMALL = dict(vocab_size=TOKENS, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=0, pad_token_id=None,
             tie_word_embeddings=False)
LATENT = dict(num_key_value_heads=4, q_lora_rank=24, kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=8,
              v_head_dim=16, moe_intermediate_size=32, n_routed_experts=8, num_experts_per_tok=3, n_shared_experts=1,
              routed_scaling_factor=1.8, norm_topk_prob=True)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=8.0, beta_fast=32.0, beta_slow=1.0,
            original_max_position_embeddings=16)
TEMPERED = YARN | dict(mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.1, max_position_embeddings=128)
VISION = dict(depth=1, hidden_size=32, intermediate_size=32, num_heads=2, out_hidden_size=64,
              deepstack_visual_indexes=[0])
AXES = dict(rope_type="default", rope_theta=5e6, mrope_section=[4, 2, 2], mrope_interleaved=True)


def config(name, **keys):
    return getattr(T, name)(**SMALL | keys)


def vision_language(name, text, **keys):
    text = getattr(T, text)(**SMALL | keys)
    return getattr(T, name)(text_config=text.to_dict(), vision_config=VISION, tie_word_embeddings=False)


def muse_glimmer():
    text = T.MuseGlimmerTextConfig(**SMALL | dict(
        num_hidden_layers=4, head_dim=16, sliding_window=12, final_logit_softcapping=3.0, output_multiplier=0.5))
    vision = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    return T.MuseGlimmerConfig(text_config=text.to_dict(), vision_config=vision, tie_word_embeddings=False)


# name: (class, its configuration, the number of blocks for multi-token prediction that are added)
FAMILIES = {
    "qwen3vl": ("Qwen3VLForConditionalGeneration", lambda: vision_language(
        "Qwen3VLConfig", "Qwen3VLTextConfig", head_dim=16, rope_parameters=AXES), 0),
    "qwen3vlmoe": ("Qwen3VLMoeForConditionalGeneration", lambda: vision_language(
        "Qwen3VLMoeConfig", "Qwen3VLMoeTextConfig", head_dim=16, rope_parameters=AXES, num_experts=6,
        num_experts_per_tok=2, moe_intermediate_size=48), 0),
    "glm4moe": ("Glm4MoeForCausalLM", lambda: config(
        "Glm4MoeConfig", head_dim=16, attention_bias=True, use_qk_norm=True, n_routed_experts=8, num_experts_per_tok=3,
        moe_intermediate_size=32, routed_scaling_factor=1.5, num_nextn_predict_layers=1), 1),
    "glm4moe-air": ("Glm4MoeForCausalLM", lambda: config(
        "Glm4MoeConfig", head_dim=16, attention_bias=True, n_routed_experts=8, num_experts_per_tok=3,
        moe_intermediate_size=32, num_nextn_predict_layers=0), 0),
    "glm4moelite": ("Glm4MoeLiteForCausalLM", lambda: config(
        "Glm4MoeLiteConfig", **LATENT, first_k_dense_replace=1, topk_method="noaux_tc", num_nextn_predict_layers=1), 1),
    "ministral3": ("Ministral3ForCausalLM", lambda: config(
        "Ministral3Config", head_dim=16, rope_parameters=TEMPERED), 0),
    "mistral3": ("Mistral3ForConditionalGeneration", lambda: T.Mistral3Config(
        text_config=T.MistralConfig(**SMALL | dict(head_dim=16, sliding_window=None)).to_dict(),
        vision_config=dict(model_type="pixtral", hidden_size=32, intermediate_size=32, num_hidden_layers=1,
                           num_attention_heads=2, head_dim=16), tie_word_embeddings=False), 0),
    "mistral4": ("Mistral3ForConditionalGeneration", lambda: T.Mistral3Config(
        text_config=T.Mistral4Config(**SMALL | LATENT | dict(
            first_k_dense_replace=1, routed_scaling_factor=1.0, rope_parameters=TEMPERED)).to_dict(),
        vision_config=dict(model_type="pixtral", hidden_size=32, intermediate_size=32, num_hidden_layers=1,
                           num_attention_heads=2, head_dim=16), tie_word_embeddings=False), 0),
    "minimax-m2": ("MiniMaxM2ForCausalLM", lambda: config(
        "MiniMaxM2Config", head_dim=24, rotary_dim=12, num_local_experts=8, num_experts_per_tok=3, scoring_func="sigmoid",
        use_qk_norm=True, qk_norm_type="per_layer", use_routing_bias=True), 0),
    "smollm3": ("SmolLM3ForCausalLM", lambda: config(
        "SmolLM3Config", num_hidden_layers=5, tie_word_embeddings=True), 0),
    "seed_oss": ("SeedOssForCausalLM", lambda: config("SeedOssConfig", head_dim=24), 0),
    "olmo2": ("Olmo2ForCausalLM", lambda: config("Olmo2Config"), 0),
    "olmo3": ("Olmo3ForCausalLM", lambda: config(
        "Olmo3Config", num_hidden_layers=4, sliding_window=12, rope_parameters=dict(
            full_attention=YARN, sliding_attention=dict(rope_type="default", rope_theta=10000.0))), 0),
    "granite": ("GraniteForCausalLM", lambda: config(
        "GraniteConfig", tie_word_embeddings=True, embedding_multiplier=12.0, residual_multiplier=0.22,
        attention_multiplier=0.015625, logits_scaling=8.0), 0),
    "phi3": ("Phi3ForCausalLM", lambda: config("Phi3Config", original_max_position_embeddings=128), 0),
    "phi3-longrope": ("Phi3ForCausalLM", lambda: config(
        "Phi3Config", original_max_position_embeddings=64, tie_word_embeddings=True, rope_parameters=dict(
            rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75,
            short_factor=[1.0, 1.05, 1.1, 1.15, 1.2, 1.25], long_factor=[1.0, 1.5, 2.0, 3.0, 5.0, 8.0])), 0),
    "ernie4_5": ("Ernie4_5ForCausalLM", lambda: config("Ernie4_5Config", head_dim=16, tie_word_embeddings=True), 0),
    "ernie4_5-moe": ("Ernie4_5_MoeForCausalLM", lambda: config(
        "Ernie4_5_MoeConfig", moe_num_experts=8, moe_k=3, moe_intermediate_size=48, moe_num_shared_experts=1), 0),
    "hy_v3": ("HYV3ForCausalLM", lambda: config(
        "HYV3Config", head_dim=16, num_experts=8, num_experts_per_tok=3, moe_intermediate_size=32,
        num_nextn_predict_layers=1), 1),
    "muse-glimmer": ("MuseGlimmerForConditionalGeneration", muse_glimmer, 0),
    "glm-dsa": ("GlmMoeDsaForCausalLM", lambda: config(
        "GlmMoeDsaConfig", **LATENT, first_k_dense_replace=1, index_topk=64, index_head_dim=16, index_n_heads=2,
        indexer_types=["full", "shared", "full"], scoring_func="sigmoid", topk_method="noaux_tc", num_nextn_predict_layers=1), 1),
    "deepseek32": ("DeepseekV32ForCausalLM", lambda: config(
        "DeepseekV32Config", **LATENT, first_k_dense_replace=1, n_group=4, topk_group=2, index_topk=64,
        index_head_dim=16, index_n_heads=2, scoring_func="sigmoid", topk_method="noaux_tc", rope_parameters=YARN | dict(
            mscale=1.0, mscale_all_dim=1.0), num_nextn_predict_layers=1), 1),
}
# Norms whose weights are stored as differences from 1.
DIFFERENCES = {"muse-glimmer": "layernorm.weight"}


def form(family, name, shape):
    """The offset of a stored tensor's values, and the exponent of their step."""
    if len(shape) == 1:
        if "norm" in name and not name.endswith("bias") and not name.endswith(DIFFERENCES.get(family, "-")): return 1, 7
        return 0, 9
    return 0, round(-np.log2(1.5 / shape[-1] ** 0.5 / 74))


def values(name, shape, offset, exponent):
    """A byte for each element, from splitmix64 of a hash (FNV-1a) of the name."""
    state = 0xCBF29CE484222325
    for byte in name.encode(): state = (state ^ byte) * 0x100000001B3 % 2 ** 64
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, -(-count // 8) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    steps = z.view(np.int8)[:count].astype(np.float32)
    if offset: steps = np.floor(steps / 4)
    return torch.from_numpy((offset + steps * 2.0 ** -exponent).astype(np.float32).reshape(shape))


def predicting(stored, family, layers):
    """The names of a block for multi-token prediction: the last layer's, and its own."""
    last = f"model.layers.{layers - 1}."
    block = f"model.layers.{layers}."
    width, tokens = SMALL["hidden_size"], TOKENS
    extra = {block + n.removeprefix(last): s for n, s in stored.items() if n.startswith(last)}
    extra |= {block + "eh_proj.weight": [width, 2 * width], block + "enorm.weight": [width], block + "hnorm.weight": [width]}
    if family == "hy_v3":
        extra[block + "final_layernorm.weight"] = [width]
    else:
        extra |= {block + "shared_head.norm.weight": [width], block + "shared_head.head.weight": [tokens, width],
                  block + "embed_tokens.weight": [tokens, width]}
    return extra


def value(field):
    content = field.contents()
    kind = [t.name for t in field.types]
    if isinstance(content, list):
        return kind[:2] + [hashlib.sha256((("\0" if kind[1] == "STRING" else ",").join(map(str, content))).encode())
                           .hexdigest()[:32]]
    return kind + [content]


def tensors(file):
    return {t.name: t for t in gguf.GGUFReader(file).tensors}


def converted(folder, out, kind):
    hparams = ModelBase.load_hparams(folder, False)
    converter = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
    with torch.inference_mode():
        model = converter(folder, kind, out)
        for part in (model, getattr(model, "impl", model)): part.set_vocab = lambda: None
        model.write()
    return gguf.GGUFReader(out)


def logits(model, stored):
    model = model.float().eval()
    state = model.state_dict()
    with torch.inference_mode():
        for name, tensor in state.items():
            if name in stored: tensor.copy_(stored[name])
        tokens = torch.tensor([[(7 * i * i + 3 * i + 5) % 251 + 1 for i in range(LENGTH)]])
        out = model(input_ids=tokens, use_cache=False).logits[0, POSITIONS, :COLUMNS]
    return tokens[0].tolist(), out.contiguous().numpy().astype("<f4")


def saved_names(model, folder):
    """The names and shapes under which the class saves its tensors."""
    model.save_pretrained(folder)
    from safetensors import safe_open
    shapes = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as content:
            for name in content.keys(): shapes[name] = content.get_slice(name).get_shape()
        file.unlink()
    return shapes


def make(family):
    kind, configuration, blocks = FAMILIES[family]
    settings = configuration()
    settings._attn_implementation = "eager"
    settings.architectures = [kind]
    settings.dtype = "bfloat16"
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work) / family
        folder.mkdir()
        model = getattr(T, kind)(settings)
        stored = saved_names(model, folder)
        towers = [n for n in stored if any(p in n for p in ("visual", "vision", "multi_modal"))]
        for name in towers: del stored[name]
        text = settings.get_text_config()
        if family == "qwen3vlmoe":
            # Published files hold experts transposed, as the class reads them too.
            for name, shape in stored.items():
                if ".experts." in name: stored[name] = [shape[0], shape[2], shape[1]]
        if blocks: stored |= predicting(stored, family, text.num_hidden_layers)
        path = folder / "config.json"
        config = json.loads(path.read_text())
        for key in ("vision_config",):
            if key in config: config[key] = {k: v for k, v in config[key].items() if k == "deepstack_visual_indexes"} or {"a": 1}
        config |= {"architectures": [kind], "dtype": "bfloat16"}
        path.write_text(json.dumps(config, indent=1) + "\n")
        weights = {n: values(n, s, *form(family, n, s)) for n, s in stored.items()}
        save_file({n: t.bfloat16() for n, t in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})
        # The class reads the file: it may store other names than its parameters have.
        loaded, report = getattr(T, kind).from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, local_files_only=True)
        missing = [n for n in report["missing_keys"] if not any(p in n for p in ("visual", "vision", "multi_modal"))]
        assert not missing, missing
        tokens, expected = logits(loaded, {})
        for file in ("generation_config.json",): (folder / file).unlink(missing_ok=True)
        out = pathlib.Path(work) / "out.gguf"
        f32 = converted(folder, out, gguf.LlamaFileType.ALL_F32)
        digests = {t.name: [[int(n) for n in t.shape], hashlib.sha256(t.data.tobytes()).hexdigest()[:16]] for t in f32.tensors}
        keys = {k: value(f) for k, f in f32.fields.items() if not k.startswith(("GGUF.", "tokenizer.", "general.file"))}
        bf16 = converted(folder, out, gguf.LlamaFileType.MOSTLY_BF16)
        exact = sorted(t.name for t in bf16.tensors if t.tensor_type.name == "F32")
        for name in exact: digests[name].append("F32")
        result = {
            "config": config, "stored": {n: [list(s), *form(family, n, s)] for n, s in sorted(stored.items())},
            "keys": keys, "tensors": dict(sorted(digests.items())), "tokens": tokens,
            "logits": base64.b64encode(expected.tobytes()).decode()}
    lines = ["{"]
    for key, content in result.items():
        if isinstance(content, dict) and key != "config":
            rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in content.items())
            lines.append(f' "{key}": {{\n{rows}\n }},')
        else:
            lines.append(f' "{key}": {json.dumps(content)},')
    lines[-1] = lines[-1][:-1]
    (here / f"{family}.json").write_text("\n".join(lines + ["}"]) + "\n")
    print(family, len(stored), "tensors, logits", float(expected.std()), flush=True)


failures = []
for family in arguments.names or FAMILIES:
    try:
        make(family)
    except Exception as error:
        if arguments.names: raise
        failures.append(f"{family}: {type(error).__name__} {str(error)[:300]}")
print("\n".join(failures))
