#!/usr/bin/env python3
"""make_drift.py REPOSITORY > drift.json: the figures of a comparison in double precision, by PyTorch and transformers.

The base is the demo model, the candidate the same with mantissas of 3 bits: every F16 number and 0xFF80. Windows of 128
tokens, the first of each replaced by BOS, positions 64 to 126 scored: four windows of the held-out text. Weights,
activations, soft maximum and sums are in double precision. Needs torch, transformers and numpy.
"""
import json
import pathlib
import sys

import numpy as np
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

ROOT = pathlib.Path(sys.argv[1])
CONTEXT, WINDOWS = 128, 4
tokenizer = AutoTokenizer.from_pretrained(ROOT / "Examples/demo-model")
ids = [tokenizer.bos_token_id] + tokenizer.encode(
    (ROOT / "Examples/held-out.txt").read_text(), add_special_tokens=False)
windows = torch.tensor(ids[:CONTEXT * WINDOWS]).reshape(WINDOWS, CONTEXT)
targets = windows[:, CONTEXT // 2 + 1:]
fed = windows.clone()
fed[:, 0] = tokenizer.bos_token_id


def log_probabilities(coarse):
    model = LlamaForCausalLM.from_pretrained(ROOT / "Examples/demo-model", dtype=torch.float16,
                                             attn_implementation="eager")
    for tensor in model.state_dict().values():
        if coarse and tensor.dtype == torch.float16:
            bits = tensor.numpy().view(np.uint16)
            bits &= np.uint16(0xFF80)
    with torch.no_grad():
        logits = model.double()(fed).logits
    return torch.log_softmax(logits, -1)[:, CONTEXT // 2:CONTEXT - 1]


p, q = log_probabilities(False), log_probabilities(True)
kld = (p.exp() * (p - q)).sum(-1).flatten()
loss_p, loss_q = (-x.gather(-1, targets[..., None]).flatten() for x in (p, q))
delta = (-loss_q).exp() - (-loss_p).exp()
error = lambda x: (x.var(unbiased=False) / (len(x) - 1)).sqrt()
figures = {
    "kld": kld.mean(), "kld_error": error(kld), "kld_1.0": kld.max(), "kld_0.0": kld.min(),
    "kld_0.5": kld.quantile(0.5), "kld_0.99": kld.quantile(0.99), "perplexity_base": loss_p.mean().exp(),
    "perplexity": loss_q.mean().exp(), "log_ratio": (loss_q - loss_p).mean(),
    "log_ratio_error": error(loss_q - loss_p), "correlation": torch.corrcoef(torch.stack([loss_p, loss_q]))[0, 1],
    "delta_p": delta.mean(), "delta_p_rms": delta.square().mean().sqrt(), "delta_p_0.05": delta.quantile(0.05),
    "same_top": (p.argmax(-1) == q.argmax(-1)).double().mean(),
}
print(json.dumps({name: float(value) for name, value in figures.items()}, indent=1))
