#!/usr/bin/env python3
"""Makes the small models of this folder, and what llama.cpp's converter makes of them.

    PYTHONPATH=LLAMA/gguf-py python3 make.py LLAMA DEMO

LLAMA is llama.cpp's source as the sdist of llama-cpp-python 0.3.36 carries it (vendor/llama.cpp), DEMO is
Examples/demo-model. Needs torch, transformers 5 and safetensors. Every model gets a folder with config.json, weights
and expected.json: the keys of the converter's GGUF, and for each output type the tensors with shape, type and SHA-256.
"""
import argparse, hashlib, json, pathlib, shutil, sys, tempfile

here = pathlib.Path(__file__).resolve().parent
arguments = argparse.ArgumentParser()
arguments.add_argument("llama", type=pathlib.Path)
arguments.add_argument("demo", type=pathlib.Path)
arguments.add_argument("names", nargs="*")
arguments = arguments.parse_args()
sys.path.insert(0, str(arguments.llama / "gguf-py"))
sys.path.insert(1, str(arguments.llama))

import gguf, numpy, torch, transformers
from safetensors.torch import load_file, save_file
from conversion import ModelBase, ModelType, get_model_architecture, get_model_class
from conversion.base import TextModel

# The demo tokenizer's splitter is Llama 3's, whatever its ids.
TextModel.get_vocab_base_pre = lambda self, tokenizer: "llama-bpe"

# tokenizer.json as it stands, without what the class of an architecture would add.
transformers.AutoTokenizer.from_pretrained = transformers.PreTrainedTokenizerFast.from_pretrained

TOKENS = 272


def tokenizer(target: pathlib.Path):
    """The demo tokenizer with its first merges only."""
    full = json.loads((arguments.demo / "tokenizer.json").read_text())
    special = full["added_tokens"]
    ordered = sorted(full["model"]["vocab"].items(), key=lambda item: item[1])
    bytes_first = [token for token, _ in ordered if len(token) == 1]
    keep = TOKENS - len(special) - len(bytes_first)
    merges, tokens = [], list(bytes_first)
    for merge in full["model"]["merges"]:
        pair = merge if isinstance(merge, list) else merge.split(" ")
        if keep > 0 and all(part in tokens for part in pair):
            merges.append(merge)
            tokens.append("".join(pair))
            keep -= 1
    full["model"]["merges"] = merges
    for index, token in enumerate(special): token["id"] = index
    tokens = [token["content"] for token in special] + tokens
    full["model"]["vocab"] = {token: index for index, token in enumerate(tokens)}
    target.mkdir(parents=True, exist_ok=True)
    text = json.dumps(full, ensure_ascii=False, separators=(",", ":"))
    (target / "tokenizer.json").write_text(text + "\n")
    shutil.copy(arguments.demo / "tokenizer_config.json", target / "tokenizer_config.json")


def model(name, config, dtype, seed):
    """A model whose every parameter and buffer is random."""
    torch.manual_seed(seed)
    made = getattr(transformers, config.architectures[0])(config)
    for key, tensor in made.state_dict().items():
        spread = torch.randn(tensor.shape) * 0.06
        tensor.copy_(1 + spread if "norm" in key else spread)
    made = made.to(dtype)
    target = here / name
    shutil.rmtree(target, ignore_errors=True)
    made.save_pretrained(target)
    (target / "generation_config.json").unlink(missing_ok=True)
    return target


def edit(target, change, drop=()):
    path = target / "config.json"
    config = json.loads(path.read_text())
    for key in drop: config.pop(key, None)
    config.update(change)
    path.write_text(json.dumps(config, indent=1) + "\n")


def weights(target, change):
    path = target / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def shards(target, count):
    path = target / "model.safetensors"
    tensors = load_file(path)
    names = sorted(tensors)
    places = {}
    for index in range(count):
        shard = f"model-{index + 1:05}-of-{count:05}.safetensors"
        part = {n: tensors[n] for n in names[index::count]}
        save_file(part, target / shard, metadata={"format": "pt"})
        places.update({n: shard for n in part})
    path.unlink()
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": places}
    (target / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def is_quantizable(name, tensor):
    ends = ("proj.weight", "in_proj_qkv.weight", "in_proj_z.weight")
    return tensor.ndim == 2 and name.endswith(ends) or ".kv_a_proj_with_mqa.weight" in name


def fp8(tensors, block, dtype=torch.float8_e4m3fn):
    """FP8 in blocks, scales as DeepSeek V3 has them."""
    most = torch.finfo(dtype).max
    result = {}
    for name, tensor in tensors.items():
        if not is_quantizable(name, tensor):
            result[name] = tensor
            continue
        rows, columns = (-(-size // part) for size, part in zip(tensor.shape, block))
        scales = torch.zeros(rows, columns)
        values = torch.zeros(tensor.shape)
        for r in range(rows):
            for c in range(columns):
                part = (slice(r * block[0], (r + 1) * block[0]), slice(c * block[1], (c + 1) * block[1]))
                scales[r, c] = tensor[part].float().abs().max() / most
                values[part] = tensor[part].float() / scales[r, c]
        result[name] = values.to(dtype)
        result[name + "_scale_inv"] = scales
    return result


def fp8_rows(tensors, whole=False):
    """FP8 with a scale a row, or one for all, as compressed-tensors and ModelOpt have them."""
    result = {}
    for name, tensor in tensors.items():
        if not is_quantizable(name, tensor):
            result[name] = tensor
            continue
        most = tensor.float().abs().amax() if whole else tensor.float().abs().amax(dim=1, keepdim=True)
        scale = (most / 448).to(torch.bfloat16 if not whole else torch.float32)
        result[name] = (tensor.float() / scale.float()).clamp(-448, 448).to(torch.float8_e4m3fn)
        result[name + "_scale"] = scale
        if whole: result[name.removesuffix("weight") + "input_scale"] = torch.tensor(0.5)
    return result


def predicting(tensors, layer):
    """A layer for multi-token prediction behind the last, as V3 has it."""
    last = {k: v for k, v in tensors.items() if k.startswith(f"model.layers.{layer - 1}.self_attn.")}
    extra = {k.replace(f"layers.{layer - 1}.", f"layers.{layer}."): v.clone() for k, v in last.items()}
    extra[f"model.layers.{layer}.eh_proj.weight"] = torch.randn(32, 64).to(torch.bfloat16)
    return {**tensors, **extra}


LEVELS = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])


def e2m1(values):
    """The codes of the nearest values of E2M1, two per byte, the first of a pair in the low nibble."""
    codes = (values.unsqueeze(-1) - LEVELS).abs().argmin(-1).to(torch.uint8)
    return codes[..., 0::2] | codes[..., 1::2] << 4


def mxfp4(matrix):
    """Blocks [.., columns / 32, 16] and scales [.., columns / 32] of MXFP4."""
    groups = matrix.float().reshape(*matrix.shape[:-1], -1, 32)
    exponents = (groups.abs().amax(-1) / 6).clamp_min(2.0 ** -100).log2().ceil()
    return e2m1(groups / 2.0 ** exponents.unsqueeze(-1)), (exponents + 127).to(torch.uint8)


def packed_experts(tensors):
    """gpt-oss as it is published: experts in MXFP4, rows of gate and up in turn."""
    result = {}
    for name, tensor in tensors.items():
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            result[name] = tensor
            continue
        result[name + "_blocks"], result[name + "_scales"] = mxfp4(tensor.transpose(1, 2))
    return result


def words(integers, bits):
    """Integers of some bits, packed along the last dimension into I32."""
    count = 32 // bits
    padded = torch.nn.functional.pad(integers, (0, -integers.shape[-1] % count)).reshape(*integers.shape[:-1], -1, count)
    packed = sum(padded[..., i].long() << bits * i for i in range(count))
    return packed.to(torch.int64).to(torch.int32)


def each_matrix(tensors, change):
    result = {}
    for name, tensor in tensors.items():
        if is_quantizable(name, tensor): result.update(change(name.removesuffix(".weight"), tensor.float()))
        else: result[name] = tensor
    return result


def int4(name, matrix, size, has_zeros=False):
    """compressed-tensors, `pack-quantized`."""
    groups = matrix.reshape(matrix.shape[0], -1, size)
    low, high = groups.amin(-1), groups.amax(-1)
    scale = ((high - low) / 15 if has_zeros else groups.abs().amax(-1) / 7.5).to(torch.bfloat16)
    zero = (-low / scale.float()).round().clamp(0, 15) if has_zeros else torch.full_like(low, 8)
    codes = (groups / scale.float().unsqueeze(-1) + zero.unsqueeze(-1)).round().clamp(0, 15).to(torch.int64)
    result = {name + ".weight_packed": words(codes.reshape(matrix.shape), 4), name + ".weight_scale": scale,
              name + ".weight_shape": torch.tensor(matrix.shape)}
    # Zero points are packed along the rows.
    if has_zeros: result[name + ".weight_zero_point"] = words(zero.to(torch.int64).T, 4).T.contiguous()
    return result


def int8(name, matrix):
    """compressed-tensors, `int-quantized`."""
    scale = (matrix.abs().amax(1, keepdim=True) / 127).to(torch.bfloat16)
    return {name + ".weight": (matrix / scale.float()).round().clamp(-128, 127).to(torch.int8),
            name + ".weight_scale": scale}


def gptq(name, matrix, bits, size, shuffled):
    rows, columns = matrix.shape
    order = torch.arange(columns, dtype=torch.int32) // size
    if shuffled: order = order[torch.randperm(columns, generator=torch.Generator().manual_seed(columns))]
    count, top = columns // size, 2 ** bits - 1
    scale, zero = torch.zeros(count, rows), torch.zeros(count, rows)
    for group in range(count):
        part = matrix[:, order == group]
        low, high = part.amin(1).clamp(max=0), part.amax(1)
        scale[group] = ((high - low) / top).half().float()
        zero[group] = (-low / scale[group]).round().clamp(1, top)
    codes = (matrix.T / scale[order] + zero[order]).round().clamp(0, top).to(torch.int64)
    return {name + ".qweight": words(codes.T, bits).T.contiguous(), name + ".scales": scale.half(), name + ".g_idx": order,
            name + ".qzeros": words(zero.to(torch.int64) - 1, bits)}


def nvfp4(name, matrix, is_modelopt):
    largest = matrix.abs().amax() / 6 / 448
    groups = matrix.reshape(matrix.shape[0], -1, 16)
    scale = (groups.abs().amax(-1) / 6 / largest).to(torch.float8_e4m3fn)
    codes = e2m1(groups / (scale.float() * largest).clamp_min(1e-12).unsqueeze(-1)).reshape(matrix.shape[0], -1)
    if is_modelopt:
        return {name + ".weight": codes, name + ".weight_scale": scale, name + ".weight_scale_2": largest,
                name + ".input_scale": torch.tensor(0.5)}
    return {name + ".weight_packed": codes, name + ".weight_scale": scale,
            name + ".weight_global_scale": (1 / largest).reshape(1), name + ".input_global_scale": torch.ones(1)}


def packed_llamas():
    """What other quantizers make of a small llama."""
    def compressed(format, **weights):
        return {"quant_method": "compressed-tensors", "format": format, "config_groups": {"group_0": {
            "targets": ["Linear"], "weights": {"symmetric": True, **weights}}}, "ignore": ["lm_head"]}
    group = dict(num_bits=4, type="int", strategy="group")
    for name, quantization, change in [
        ("llama-int4", compressed("pack-quantized", **group, group_size=32), lambda n, m: int4(n, m, 32)),
        ("llama-int4-zeros", compressed("pack-quantized", **group, group_size=16) , lambda n, m: int4(n, m, 16, True)),
        ("llama-int8", compressed("int-quantized", num_bits=8, type="int", strategy="channel"), int8),
        ("llama-gptq", {"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": True},
         lambda n, m: gptq(n, m, 4, 16, True)),
        ("llama-gptq8", {"quant_method": "gptq", "bits": 8, "group_size": 32, "checkpoint_format": "gptq_v2"},
         lambda n, m: gptq(n, m, 8, 32, False)),
        ("llama-nvfp4", compressed("nvfp4-pack-quantized", num_bits=4, type="float", strategy="tensor_group",
                                   group_size=16), lambda n, m: nvfp4(n, m, False)),
        ("llama-nvfp4-modelopt", {"quant_method": "modelopt", "quant_algo": "NVFP4"}, lambda n, m: nvfp4(n, m, True)),
    ]:
        target = model(name, transformers.LlamaConfig(
            vocab_size=TOKENS, hidden_size=64, intermediate_size=192, num_hidden_layers=1, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
            architectures=["LlamaForCausalLM"]), torch.bfloat16, 15)
        edit(target, {"quantization_config": quantization})
        weights(target, lambda tensors: each_matrix(tensors, change))


def gpt_oss():
    for name in ("gpt-oss", "gpt-oss-mxfp4"):
        target = model(name, transformers.GptOssConfig(
            vocab_size=TOKENS, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=16, num_local_experts=4, num_experts_per_tok=2, sliding_window=24,
            max_position_embeddings=512, architectures=["GptOssForCausalLM"]), torch.bfloat16, 14)
        if name == "gpt-oss": continue
        edit(target, {"quantization_config": {
            "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router"],
            "quant_method": "mxfp4"}})
        weights(target, packed_experts)


def build():
    gpt_oss()
    packed_llamas()
    T = transformers
    base = dict(vocab_size=TOKENS, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=False)
    def config(kind, architecture, **more):
        return getattr(T, kind + "Config")(**{**base, **more}, architectures=[architecture])

    model("llama2", config("Llama", "LlamaForCausalLM", num_key_value_heads=4), torch.float16, 1)
    target = model("llama3", config(
        "Llama", "LlamaForCausalLM", num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=64,
        tie_word_embeddings=True, max_position_embeddings=131072), torch.bfloat16, 2)
    edit(target, {"rope_theta": 500000.0, "rope_scaling": {
        "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
        "rope_type": "llama3"}, "torch_dtype": "bfloat16"}, drop=["rope_parameters", "dtype"])
    shards(model("llama-biases", config(
        "Llama", "LlamaForCausalLM", attention_bias=True, mlp_bias=True, num_hidden_layers=1), torch.float32, 3), 3)
    model("mistral", config("Mistral", "MistralForCausalLM", head_dim=16), torch.bfloat16, 4)
    model("mixtral", config(
        "Mixtral", "MixtralForCausalLM", num_local_experts=4, num_experts_per_tok=2, num_hidden_layers=1),
        torch.bfloat16, 5)
    target = model("qwen2", config("Qwen2", "Qwen2ForCausalLM"), torch.bfloat16, 6)
    edit(target, {"rope_theta": 1000000.0, "rope_scaling": {
        "factor": 4.0, "original_max_position_embeddings": 128, "type": "yarn"}}, drop=["rope_parameters"])
    model("qwen3", config("Qwen3", "Qwen3ForCausalLM", head_dim=16, tie_word_embeddings=True), torch.bfloat16, 7)
    model("qwen3moe", config(
        "Qwen3Moe", "Qwen3MoeForCausalLM", head_dim=16, num_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=32, norm_topk_prob=True), torch.bfloat16, 8)
    latent = dict(num_key_value_heads=4, kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16,
                  n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, first_k_dense_replace=1,
                  n_shared_experts=2)
    yarn = {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707,
            "original_max_position_embeddings": 128, "type": "yarn"}
    target = model("deepseek2", config("DeepseekV2", "DeepseekV2ForCausalLM", q_lora_rank=None, **latent),
                   torch.bfloat16, 9)
    edit(target, {"rope_theta": 10000, "rope_scaling": yarn, "scoring_func": "softmax"}, drop=["rope_parameters"])
    v3 = config("DeepseekV3", "DeepseekV3ForCausalLM", q_lora_rank=32, n_group=2, topk_group=1,
                num_nextn_predict_layers=1, **{**latent, "n_shared_experts": 1})
    yarn = {**yarn, "mscale": 1.0, "mscale_all_dim": 1.0}
    for name, block in (("deepseek3", None), ("deepseek3-fp8", [24, 20])):
        target = model(name, v3, torch.bfloat16, 10)
        more = {"rope_theta": 10000, "rope_scaling": yarn, "scoring_func": "sigmoid", "topk_method": "noaux_tc"}
        if block:
            more["quantization_config"] = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                                           "weight_block_size": block}
        edit(target, more, drop=["rope_parameters"])
        weights(target, lambda tensors: predicting(tensors, 2))
        if block: weights(target, lambda tensors: fp8(tensors, block))
    wide = config("Llama", "LlamaForCausalLM", num_hidden_layers=1, intermediate_size=160, tie_word_embeddings=True)
    quantized = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    target = model("llama-fp8-e5m2", wide, torch.bfloat16, 11)
    edit(target, {"quantization_config": quantized})
    weights(target, lambda tensors: fp8(tensors, [128, 128], torch.float8_e5m2))
    target = model("llama-fp8-rows", wide, torch.bfloat16, 12)
    edit(target, {"quantization_config": {
        "quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": {
            "targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}}}})
    weights(target, fp8_rows)
    target = model("llama-fp8-whole", wide, torch.bfloat16, 13)
    edit(target, {"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}})
    weights(target, lambda tensors: fp8_rows(tensors, whole=True))


def delta_net(name, kind, suffix="ForCausalLM", dtype=torch.bfloat16, predicts=False, seed=20, **more):
    """A small model of the Qwen 3.5 family: three layers with a gated delta net, one with attention."""
    moe = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, shared_expert_intermediate_size=64)
    text = dict(vocab_size=TOKENS, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1,
                head_dim=16, max_position_embeddings=512, linear_key_head_dim=8, linear_value_head_dim=8,
                linear_num_key_heads=2, linear_num_value_heads=4, tie_word_embeddings=False)
    if kind != "Qwen3_5Moe": text["intermediate_size"] = 48
    if kind != "Qwen3_5": text |= moe
    if kind != "Qwen3Next":
        text["rope_parameters"] = dict(rope_type="default", rope_theta=10000000, partial_rotary_factor=0.25,
                                       mrope_section=[1, 1, 0], mrope_interleaved=True)
    text |= more
    architecture = kind + suffix
    if suffix == "ForCausalLM":
        text_class = kind + ("Config" if kind == "Qwen3Next" else "TextConfig")
        config = getattr(transformers, text_class)(**text, architectures=[architecture])
    else:
        vision = dict(depth=1, hidden_size=16, intermediate_size=24, num_heads=2, out_hidden_size=32, patch_size=4,
                      num_position_embeddings=16)
        config = getattr(transformers, kind + "Config")(
            text_config=text, vision_config=vision, architectures=[architecture],
            tie_word_embeddings=text["tie_word_embeddings"])
    target = model(name, config, dtype, seed)
    if predicts:
        weights(target, lambda tensors: predicting_after(tensors, dtype, kind))
        path = target / "config.json"
        config = json.loads(path.read_text())
        if kind != "Qwen3Next":
            config.get("text_config", config).update(mtp_num_hidden_layers=1, mtp_use_dedicated_embeddings=False)
        path.write_text(json.dumps(config, indent=1) + "\n")
    return target


def delta_net_fp8():
    """Qwen 3.5 with experts as it is published in FP8: matrices in blocks that end within heads, experts each alone."""
    target = delta_net("qwen35moe-fp8", "Qwen3_5Moe", "ForConditionalGeneration", seed=24, num_hidden_layers=2,
                       layer_types=["linear_attention", "full_attention"])
    path = target / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"] = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                                     "weight_block_size": [12, 20],
                                     "modules_to_not_convert": ["lm_head", "model.visual", "in_proj_a", "in_proj_b"]}
    path.write_text(json.dumps(config, indent=1) + "\n")

    def change(tensors):
        result = {}
        for name, tensor in tensors.items():
            if "experts.gate_up_proj" in name:
                for index, both in enumerate(tensor):
                    for part, half in zip(("gate_proj", "up_proj"), both.chunk(2)):
                        result[name.replace("gate_up_proj", f"{index}.{part}.weight")] = half.contiguous()
            elif "experts.down_proj" in name:
                for index, matrix in enumerate(tensor):
                    result[name.replace("down_proj", f"{index}.down_proj.weight")] = matrix.contiguous()
            else: result[name] = tensor
        tower = {name: tensor for name, tensor in result.items() if ".visual." in name}
        return {**fp8({k: v for k, v in result.items() if k not in tower}, [12, 20]), **tower}

    weights(target, change)
    return target


def predicting_after(tensors, dtype, kind):
    """A block for multi-token prediction under names of its own, as Qwen has it: like the last layer."""
    prefix = next(n for n in tensors if "layers.3.self_attn" in n).split("3.self_attn")[0]
    extra = {}
    for name, tensor in tensors.items():
        if not name.startswith(prefix + "3."): continue
        inner, value = name.removeprefix(prefix + "3."), torch.randn(tensor.shape) * 0.06
        # Qwen stores the experts of this block each by itself.
        if "experts.gate_up_proj" in inner:
            for index, both in enumerate(value.to(dtype)):
                for part, half in zip(("gate_proj", "up_proj"), both.chunk(2)):
                    extra[f"mtp.layers.0.mlp.experts.{index}.{part}.weight"] = half.contiguous()
        elif "experts.down_proj" in inner:
            for index, matrix in enumerate(value.to(dtype)):
                extra[f"mtp.layers.0.mlp.experts.{index}.down_proj.weight"] = matrix.contiguous()
        else:
            extra["mtp.layers.0." + inner] = value.to(dtype)
    width = tensors[prefix + "3.input_layernorm.weight"].shape[0]
    extra["mtp.fc.weight"] = (torch.randn(width, 2 * width) * 0.06).to(dtype)
    for norm in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm"):
        extra[f"mtp.{norm}.weight"] = (torch.randn(width) * 0.06).to(dtype)
    return {**tensors, **extra}


MORE = {
    "qwen35": lambda: delta_net("qwen35", "Qwen3_5", "ForConditionalGeneration", predicts=True, seed=20),
    "qwen35-plain": lambda: delta_net(
        "qwen35-plain", "Qwen3_5", dtype=torch.float32, linear_num_value_heads=2, tie_word_embeddings=True, seed=21),
    "qwen35moe": lambda: delta_net("qwen35moe", "Qwen3_5Moe", "ForConditionalGeneration", predicts=True, seed=22),
    "qwen35moe-fp8": delta_net_fp8,
    "qwen3next": lambda: delta_net("qwen3next", "Qwen3Next", predicts=True, seed=23),
}


def digest(data): return hashlib.sha256(data).hexdigest()


def value(field):
    kind = field.types[0].name
    contents = field.contents()
    if kind == "ARRAY":
        if field.types[-1].name == "STRING": return ["ARRAY STRING", digest("\0".join(contents).encode())]
        return ["ARRAY " + field.types[-1].name, digest(",".join(str(x) for x in contents).encode())]
    return [kind, contents]


def contents(tensor, factors, kind):
    """Type and digest of a tensor; of NVFP4 as the output type would have it."""
    if tensor.tensor_type.name != "NVFP4": return tensor.tensor_type.name, digest(tensor.data.tobytes())[:32]
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    values = values * numpy.float32(factors[tensor.name.removesuffix("weight") + "scale"])
    kind = getattr(gguf.GGMLQuantizationType, kind)
    return kind.name, digest(gguf.quants.quantize(values, kind).tobytes())[:32]


def expected(target, work, converter=None, tokens=here / "tokenizer"):
    """What the converter makes of a model: keys (of F16), and tensors by output type. `converter` is its class, if
    config.json does not name one."""
    directory = work / target.name
    shutil.copytree(target, directory)
    for file in tokens.iterdir(): shutil.copy(file, directory / file.name)
    result = {"keys": {}, "tensors": {}}
    types = {"F32": gguf.LlamaFileType.ALL_F32, "F16": gguf.LlamaFileType.MOSTLY_F16,
             "BF16": gguf.LlamaFileType.MOSTLY_BF16, "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
    for name, kind in types.items():
        out = work / "out.gguf"
        with torch.inference_mode():
            if converter is None:
                hparams = ModelBase.load_hparams(directory, False)
                converter = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
            has_prediction = any(n.startswith("mtp.") for f in directory.glob("*.safetensors") for n in load_file(f))
            if target.name in MORE: converter.no_mtp = not has_prediction
            converter(directory, kind, out).write()
        reader = gguf.GGUFReader(out)
        # NVFP4 has factors of tensors beside the blocks.
        factors = {t.name: float(t.data[0]) for t in reader.tensors if t.name.endswith(".scale")}
        keys = {k: value(f) for k, f in reader.fields.items() if not k.startswith("GGUF.")}
        keys.pop("general.file_type")
        if name == "F32": result["keys"] = keys
        assert keys == result["keys"], (name, {k: (keys.get(k), v) for k, v in result["keys"].items() if keys.get(k) != v})
        result["tensors"][name] = {
            t.name: [[int(n) for n in t.shape], *contents(t, factors, name)]
            for t in sorted(reader.tensors, key=lambda t: t.name) if not t.name.endswith(("_scale", ".scale"))}
    shutil.rmtree(directory)
    lines = ["{", ' "keys": {']
    lines += [f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}," for k, v in result["keys"].items()]
    lines[-1] = lines[-1][:-1]
    lines += [" },", ' "tensors": {']
    for name, tensors in result["tensors"].items():
        lines.append(f'  "{name}": {{')
        lines += [f"   {json.dumps(k)}: {json.dumps(v)}," for k, v in tensors.items()]
        lines[-1] = lines[-1][:-1]
        lines.append("  },")
    lines[-1] = lines[-1][:-1]
    (target / "expected.json").write_text("\n".join(lines + [" }", "}"]) + "\n")


if not arguments.names:
    tokenizer(here / "tokenizer")
    build()
else:
    if any(name.startswith("gpt-oss") for name in arguments.names): gpt_oss()
    if "llama-int4" in arguments.names: packed_llamas()
for name, make in MORE.items():
    if not arguments.names or name in arguments.names: make()
with tempfile.TemporaryDirectory() as work:
    for target in sorted(path.parent for path in here.glob("*/config.json")):
        if arguments.names and target.name not in arguments.names: continue
        print(target.name, flush=True)
        expected(target, pathlib.Path(work))
