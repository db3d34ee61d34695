"""Texts of 2048 tokens for golden models, which the scripts of this folder import."""
from pathlib import Path

import gguf
import numpy as np
import torch

LENGTH, KEPT = 2048, 16


def write_long(name, model, vocabulary):
    """<name>-long.golden.gguf: tokens, and the logits of the last positions of their first 512 and of all."""
    tokens = torch.randint(0, vocabulary, (1, LENGTH), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        logits = model(tokens).logits[0]
    kept = torch.cat([logits[512 - KEPT:512], logits[LENGTH - KEPT:]]).float().numpy()
    writer = gguf.GGUFWriter(Path(__file__).parent / f"{name}-long.golden.gguf", "golden")
    writer.add_tensor("tokens", tokens.numpy().astype(np.int32))
    writer.add_tensor("logits", kept)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
