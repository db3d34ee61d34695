"""Makes stock.json, and with stock_other.py stock_other.json: the type that llama-quantize gives every tensor, by mix, of models made of shapes alone.

usage: python3 stock.py LLAMA_QUANTIZE > stock.json

Needs the gguf package. Model files are headers in front of a hole, so they take no space. Types are written class by
class (a tensor's name with its layer replaced by *) and run by run over the layers that have the class, in order:
"Q5_K 2 Q4_K 78". Classes that have the mix's commonest type throughout are left out, and so is what an importance
matrix does not change.
"""
import collections, json, os, re, subprocess, sys, tempfile
import gguf

MIXES = """Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S Q4_1 Q4_0 IQ4_NL IQ4_XS Q3_K_L Q3_K_M Q3_K_S IQ3_M IQ3_S
IQ3_XS IQ3_XXS Q2_K Q2_K_S IQ2_M IQ2_S IQ2_XS IQ2_XXS IQ1_M IQ1_S TQ2_0 TQ1_0 MXFP4_MOE F16""".split()


def dense(arch, layers, d, heads, kv, ffn, vocab, tied=False, bias=False, keys={}):
    head = 128 if d > 512 else d // heads
    t = [("token_embd.weight", [d, vocab])] + ([] if tied else [("output.weight", [d, vocab])])
    t += [("output_norm.weight", [d])]
    for i in range(layers):
        b = f"blk.{i}."
        t += [(b + "attn_norm.weight", [d]), (b + "ffn_norm.weight", [d])]
        t += [(b + "attn_q.weight", [d, heads * head]), (b + "attn_k.weight", [d, kv * head])]
        t += [(b + "attn_v.weight", [d, kv * head]), (b + "attn_output.weight", [heads * head, d])]
        if bias:
            t += [(b + f"attn_{x}.bias", [n * head]) for x, n in (("q", heads), ("k", kv), ("v", kv))]
        t += experts(b, d, ffn, keys)
    return dict({f"{arch}.block_count": layers, f"{arch}.embedding_length": d, f"{arch}.attention.head_count": heads,
                 f"{arch}.attention.head_count_kv": kv, f"{arch}.feed_forward_length": ffn}, **{
                 f"{arch}.{k}": v for k, v in keys.items()}), t


def experts(b, d, ffn, keys):
    n = keys.get("expert_count", 0)
    if not n:
        return [(b + "ffn_gate.weight", [d, ffn]), (b + "ffn_up.weight", [d, ffn]), (b + "ffn_down.weight", [ffn, d])]
    f = keys.get("expert_feed_forward_length", ffn)
    return [(b + "ffn_gate_inp.weight", [d, n]), (b + "ffn_gate_exps.weight", [d, f, n]),
            (b + "ffn_up_exps.weight", [d, f, n]), (b + "ffn_down_exps.weight", [f, d, n])]


def deepseek2(layers, lead, d, ffn, f, n, shared, vocab, old):
    heads, q, kv = 128, 1536, 512
    t = [("token_embd.weight", [d, vocab]), ("output.weight", [d, vocab]), ("output_norm.weight", [d])]
    for i in range(layers):
        b = f"blk.{i}."
        t += [(b + x + "_norm.weight", [k]) for x, k in (("attn", d), ("ffn", d), ("attn_q_a", q), ("attn_kv_a", kv))]
        t += [(b + "attn_q_a.weight", [d, q]), (b + "attn_q_b.weight", [q, heads * 192])]
        t += [(b + "attn_kv_a_mqa.weight", [d, kv + 64])]
        if old:
            t += [(b + "attn_kv_b.weight", [kv, heads * 256])]
        else:
            t += [(b + "attn_k_b.weight", [128, kv, heads]), (b + "attn_v_b.weight", [kv, 128, heads])]
        t += [(b + "attn_output.weight", [heads * 128, d])]
        if i < lead:
            t += experts(b, d, ffn, {})
        else:
            t += experts(b, d, ffn, {"expert_count": n, "expert_feed_forward_length": f})
            t += [(b + "ffn_gate_shexp.weight", [d, f * shared]), (b + "ffn_up_shexp.weight", [d, f * shared]),
                  (b + "ffn_down_shexp.weight", [f * shared, d])]
            if n == 256:
                t += [(b + "exp_probs_b.bias", [n])]
    a = "deepseek2."
    return {a + "block_count": layers, a + "embedding_length": d, a + "attention.head_count": heads,
            a + "attention.head_count_kv": heads if old else 1, a + "feed_forward_length": ffn,
            a + "leading_dense_block_count": lead, a + "expert_count": n, a + "expert_used_count": 8,
            a + "expert_feed_forward_length": f, a + "expert_shared_count": shared,
            a + "expert_weights_scale": 2.5, a + "expert_gating_func": 2, a + "attention.q_lora_rank": q,
            a + "attention.kv_lora_rank": kv, a + "attention.key_length": 192 if old else 576,
            a + "attention.value_length": 128 if old else 512, a + "attention.key_length_mla": 192,
            a + "attention.value_length_mla": 128, a + "rope.dimension_count": 64}, t


MODELS = {
    "llama-1b-tied": ("llama", dense("llama", 16, 2048, 16, 8, 8192, 128256, tied=True)),
    "llama-8b": ("llama", dense("llama", 32, 4096, 32, 8, 14336, 128256)),
    "llama-70b": ("llama", dense("llama", 80, 8192, 64, 8, 28672, 128256)),
    "llama-103b": ("llama", dense("llama", 120, 8192, 64, 8, 28672, 32000)),
    "llama-405b": ("llama", dense("llama", 126, 16384, 128, 8, 53248, 128256)),
    "llama-equal-heads": ("llama", dense("llama", 80, 8192, 64, 64, 22016, 32000)),
    "mixtral": ("llama", dense("llama", 32, 4096, 32, 8, 14336, 32000, keys={"expert_count": 8, "expert_used_count": 2})),
    "qwen2-32b": ("qwen2", dense("qwen2", 64, 5120, 40, 8, 27648, 152064, bias=True)),
    "qwen2-72b": ("qwen2", dense("qwen2", 80, 8192, 64, 8, 29568, 152064, bias=True)),
    "qwen3-4b-tied": ("qwen3", dense("qwen3", 36, 2560, 32, 8, 9728, 151936, tied=True)),
    "qwen3moe": ("qwen3moe", dense("qwen3moe", 48, 2048, 32, 4, 6144, 151936, keys={
        "expert_count": 128, "expert_used_count": 8, "expert_feed_forward_length": 768})),
    "deepseek-v2": ("deepseek2", deepseek2(60, 1, 5120, 12288, 1536, 160, 2, 102400, old=True)),
    "deepseek-r1-old": ("deepseek2", deepseek2(61, 3, 7168, 18432, 2048, 256, 1, 129280, old=True)),
    "deepseek-r1": ("deepseek2", deepseek2(61, 3, 7168, 18432, 2048, 256, 1, 129280, old=False)),
}


def exact(name, dims):
    """What a converter keeps as F32."""
    return len(dims) == 1 or "ffn_gate_inp" in name


def header(path, arch, keys, tensors):
    w = gguf.GGUFWriter(path, arch)
    w.add_context_length(4096)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(32000)
    for key, value in keys.items():
        if isinstance(value, list): w.add_array(key, value)
        elif isinstance(value, str): w.add_string(key, value)
        elif isinstance(value, bool): w.add_bool(key, value)
        else: (w.add_float32 if isinstance(value, float) else w.add_uint32)(key, value)
    size = 0
    for name, dims in tensors:
        count = 1
        for n in dims:
            count *= n
        bytes_ = count * (4 if exact(name, dims) else 2)
        import numpy as np
        w.add_tensor_info(name, list(reversed(dims)), np.dtype("float32" if exact(name, dims) else "float16"), bytes_)
        size += (bytes_ + 31) // 32 * 32
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    w.close()
    with open(path, "r+b") as f:
        f.truncate(os.path.getsize(path) + size + 4096)


def imatrix(path, column_count):
    import numpy as np
    w = gguf.GGUFWriter(path, "none")
    w.add_type("imatrix")
    w.add_array("imatrix.datasets", ["none"])
    w.add_uint32("imatrix.chunk_count", 1)
    w.add_uint32("imatrix.chunk_size", 512)
    w.add_tensor("blk.0.attn_q.weight.in_sum2", np.ones((1, column_count), np.float32))
    w.add_tensor("blk.0.attn_q.weight.counts", np.ones((1, 1), np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


LINE = re.compile(r"^\[ *\d+/ *\d+\] (\S+) .* type = *(\w+), size = .*?(?:\((\w+)\))?$")


def types(tool, arguments):
    out = subprocess.run([tool, "--dry-run"] + arguments, capture_output=True, text=True)
    text = out.stdout + out.stderr
    assert out.returncode == 0, text[-2000:]
    found = {}
    for line in text.splitlines():
        m = LINE.match(line)
        if m:
            found[m[1]] = (m[3] or m[2]).upper()
    return found


def compact(found):
    by_class = collections.OrderedDict()
    for name in sorted(found, key=lambda n: int(n.split(".")[1]) if n.startswith("blk.") else -1):
        if found[name] == "F32":
            continue
        by_class.setdefault(re.sub(r"^blk\.\d+", "blk.*", name), []).append(found[name])
    common = collections.Counter(t for ts in by_class.values() for t in ts).most_common(1)[0][0]
    result = {"": common}
    for key, ts in sorted(by_class.items()):
        if set(ts) == {common}:
            continue
        runs = []
        for t in ts:
            if runs and runs[-1][0] == t:
                runs[-1][1] += 1
            else:
                runs.append([t, 1])
        result[key] = " ".join(f"{t} {n}" for t, n in runs)
    return result


def layers(numbers):
    """The first and the last of successive layers; others are listed behind -1."""
    if not numbers: return []
    first, last = min(numbers), max(numbers)
    return [first, last] if sorted(numbers) == list(range(first, last + 1)) else [-1] + numbers


def main(models, names=MIXES):
    tool = sys.argv[1]
    result = {}
    for name, (arch, (keys, tensors)) in models.items():
        with tempfile.TemporaryDirectory() as folder:
            model, weights = folder + "/m.gguf", folder + "/i.gguf"
            header(model, arch, keys, tensors)
            imatrix(weights, tensors[0][1][0])
            mixes = {}
            for mix in names:
                plain = compact(types(tool, [model, folder + "/o.gguf", mix]))
                with_ = compact(types(tool, ["--imatrix", weights, model, folder + "/o.gguf", mix]))
                mixes[mix] = [plain] if plain == with_ else [plain, with_]
            shapes = collections.OrderedDict()
            for tensor, dims in tensors:
                m = re.match(r"blk\.(\d+)\.(.*)", tensor)
                key = "blk.*." + m[2] if m else tensor
                entry = shapes.setdefault(key, [dims, []])
                if m:
                    entry[1].append(int(m[1]))
            shapes = {k: [d, layers(l)] for k, (d, l) in shapes.items()}
            # The keys that the rules read.
            read = ("block_count", "expert_count", "attention.head_count", "attention.head_count_kv")
            kept = {k: v for k, v in keys.items() if models is MODELS or k.split(".", 1)[1] in read}
            result[name] = {"architecture": arch, "keys": kept, "tensors": shapes, "mixes": mixes}
            print(name, len(tensors), file=sys.stderr)
    print("{")
    for i, (name, entry) in enumerate(result.items()):
        mixes = entry.pop("mixes")
        print(f'"{name}": {json.dumps(entry)[:-1]}, "mixes": {{')
        lines = [f'"{mix}": {json.dumps(value)}' for mix, value in mixes.items()]
        print(",\n".join(lines) + "\n}}" + ("," if i + 1 < len(result) else ""))
    print("}")


if __name__ == "__main__": main(MODELS)
