#!/usr/bin/env python3
"""Makes the golden models with gated delta nets, as golden.py makes the others.

    PYTHONPATH=LLAMA/gguf-py python3 delta_golden.py LLAMA    # needs torch, transformers, numpy

LLAMA is llama.cpp's source (see Tests/CommandTests/Fixtures/reference/make.py): its converter writes the files, and
`transformers` computes the logits. A window is longer than two chunks of the delta rule.
"""
import pathlib
import sys
import tempfile

LLAMA = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(LLAMA / "gguf-py"))
sys.path.insert(1, str(LLAMA))

import gguf
import numpy as np
import torch
import transformers as hf
from long_text import write_long
from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

HERE = pathlib.Path(__file__).parent
VOCABULARY, WINDOWS, LENGTH = 48, 2, 150
COMMON = dict(
    vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
    max_position_embeddings=512, linear_key_head_dim=16, linear_value_head_dim=16, linear_num_key_heads=2,
    linear_num_value_heads=4, layer_types=["linear_attention", "full_attention", "linear_attention"],
    attn_implementation="eager")
ROPE = dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5, mrope_section=[2, 1, 1],
            mrope_interleaved=True)
EXPERTS = dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=24, shared_expert_intermediate_size=16)
CASES = {
    "qwen35": ("Qwen3_5", dict(intermediate_size=48, rope_parameters=ROPE)),
    "qwen35moe": ("Qwen3_5Moe", dict(rope_parameters=ROPE, **EXPERTS)),
    "qwen3next": ("Qwen3Next", dict(intermediate_size=48, **EXPERTS)),
}


def randomize(model):
    generator = torch.Generator().manual_seed(1)
    for name, value in model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith(("A_log", "dt_bias")):
            value.copy_(noise * 0.5)
        elif "conv1d" in name:
            value.copy_(noise * 0.4)
        elif value.dim() == 1:
            value.copy_(noise * 0.2 + ("linear_attn.norm" in name))
        else:
            # What F16 holds exactly, so that the file's weights are the model's.
            value.copy_((noise * 1.5 / value.shape[-1] ** 0.5).half().float())


def convert(directory, target):
    hparams = ModelBase.load_hparams(directory, False)
    kind = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
    kind.no_mtp = True

    def vocabulary(self):
        self.gguf_writer.add_tokenizer_model("none")
        self.gguf_writer.add_vocab_size(VOCABULARY)

    kind.set_vocab = vocabulary
    kind(directory, gguf.LlamaFileType.MOSTLY_F16, target).write()


for name in sys.argv[2:] or CASES:
    kind, arguments = CASES[name]
    configuration = getattr(hf, kind + ("Config" if kind == "Qwen3Next" else "TextConfig"))
    architecture = kind + "ForCausalLM"
    model = getattr(hf, architecture)(configuration(**COMMON, **arguments, architectures=[architecture])).eval()
    with torch.no_grad():
        randomize(model)
        tokens = torch.randint(0, VOCABULARY, (WINDOWS, LENGTH), generator=torch.Generator().manual_seed(2))
        logits = model(tokens).logits
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with torch.inference_mode():
            convert(pathlib.Path(folder), HERE / f"{name}.gguf")
    writer = gguf.GGUFWriter(HERE / f"{name}.golden.gguf", "golden")
    writer.add_tensor("tokens", tokens.numpy().astype(np.int32))
    writer.add_tensor("logits", logits.numpy().astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_long(name, model, VOCABULARY)
