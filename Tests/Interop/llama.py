"""llama.cpp through the C symbols that the wheel `xllamacpp` exports: tokens and log-probabilities.

Only what the checks need. Parameter structs stay opaque: the library fills them in, and the four context sizes that
lead `llama_context_params` are set. For exact arithmetic three more fields are, after a look at what they held.
"""
import ctypes
import glob
import importlib.util
import os

import numpy as np


class _Params(ctypes.Structure):
    _fields_ = [("opaque", ctypes.c_uint8 * 1024)]


class _Batch(ctypes.Structure):
    _fields_ = [
        ("count", ctypes.c_int32), ("tokens", ctypes.POINTER(ctypes.c_int32)), ("embeddings", ctypes.c_void_p),
        ("positions", ctypes.POINTER(ctypes.c_int32)), ("sequence_counts", ctypes.POINTER(ctypes.c_int32)),
        ("sequences", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ("wanted", ctypes.POINTER(ctypes.c_int8)),
    ]


def _open():
    folder = os.path.dirname(importlib.util.find_spec("xllamacpp").origin)
    library = ctypes.CDLL(glob.glob(os.path.join(folder, "*.so"))[0])
    pointer, number, text = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
    for name, result, arguments in [
        ("llama_model_default_params", _Params, []), ("llama_context_default_params", _Params, []),
        ("llama_model_load_from_file", pointer, [text, _Params]), ("llama_init_from_model", pointer, [pointer, _Params]),
        ("llama_model_free", None, [pointer]), ("llama_free", None, [pointer]),
        ("llama_model_get_vocab", pointer, [pointer]), ("llama_vocab_n_tokens", number, [pointer]),
        ("llama_vocab_bos", number, [pointer]), ("llama_vocab_get_add_bos", ctypes.c_bool, [pointer]),
        ("llama_tokenize", number, [pointer, text, number, pointer, number, ctypes.c_bool, ctypes.c_bool]),
        ("llama_batch_init", _Batch, [number] * 3), ("llama_batch_free", None, [_Batch]),
        ("llama_decode", number, [pointer, _Batch]), ("llama_get_logits", ctypes.POINTER(ctypes.c_float), [pointer]),
        ("llama_get_memory", pointer, [pointer]), ("llama_memory_clear", None, [pointer, ctypes.c_bool]),
        ("llama_log_set", None, [pointer, pointer]), ("llama_backend_init", None, []),
    ]:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_library = _open()
_silence = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
_library.llama_log_set(ctypes.cast(_silence, ctypes.c_void_p), None)
_library.llama_backend_init()


# 32-bit words of `llama_context_params` and their defaults: flash attention (auto), types of keys and values (F16).
_EXACT = {13: -1, 26: 1, 27: 1}


class Llama:
    def __init__(self, path, context=512, exact=False):
        """`exact` keeps keys, values and attention in single precision."""
        self.length = context
        self.model = _library.llama_model_load_from_file(os.fsencode(path), _library.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"llama.cpp does not load {path}")
        params = _library.llama_context_default_params()
        sizes = ctypes.cast(ctypes.byref(params), ctypes.POINTER(ctypes.c_uint32))
        for index, value in enumerate([context, context, context, 1]):
            sizes[index] = value
        if exact:
            words = ctypes.cast(ctypes.byref(params), ctypes.POINTER(ctypes.c_int32))
            for index, usual in _EXACT.items():
                if words[index] != usual:
                    raise RuntimeError("llama_context_params has another layout in this version")
                words[index] = 0
        self.context = _library.llama_init_from_model(self.model, params)
        self.vocabulary = _library.llama_model_get_vocab(self.model)
        self.size = _library.llama_vocab_n_tokens(self.vocabulary)

    def close(self):
        _library.llama_free(self.context)
        _library.llama_model_free(self.model)

    def tokens(self, text):
        room = (ctypes.c_int32 * (len(text) + 8))()
        count = _library.llama_tokenize(self.vocabulary, text, len(text), room, len(room), True, False)
        return list(room[:count])

    def logits(self, tokens):
        """[positions, vocabulary] of one window of `context` tokens."""
        batch = _library.llama_batch_init(self.length, 0, 1)
        _library.llama_memory_clear(_library.llama_get_memory(self.context), True)
        batch.count = self.length
        for place, token in enumerate(tokens):
            batch.tokens[place], batch.positions[place] = int(token), place
            batch.sequence_counts[place], batch.sequences[place][0], batch.wanted[place] = 1, 0, 1
        if _library.llama_decode(self.context, batch):
            raise RuntimeError("llama_decode failed")
        logits = np.ctypeslib.as_array(_library.llama_get_logits(self.context), (self.length * self.size,)).copy()
        _library.llama_batch_free(batch)
        return logits.reshape(self.length, self.size)

    def perplexity(self, text, windows):
        """The mean over the second half of each window, as llama-perplexity has it."""
        ids = self.tokens(text)
        losses = []
        for start in range(0, min(windows, len(ids) // self.length) * self.length, self.length):
            window = ids[start:start + self.length]
            fed = list(window)
            if _library.llama_vocab_get_add_bos(self.vocabulary):
                fed[0] = _library.llama_vocab_bos(self.vocabulary)
            logits = self.logits(fed).astype(np.float64)
            places = np.arange(self.length // 2, self.length - 1)
            top = logits.max(1)
            total = top + np.log(np.exp(logits - top[:, None]).sum(1))
            losses.append(total[places] - logits[places, np.array(window)[places + 1]])
        return float(np.exp(np.concatenate(losses).mean()))
