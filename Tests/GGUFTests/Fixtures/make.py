#!/usr/bin/env python3
"""Writes golden.gguf with gguf-py: every kind of metadata value and a few tensor types. Run it in this folder."""
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFValueType as V
from gguf import GGUFWriter
from gguf.quants import quantize

writer = GGUFWriter("golden.gguf", "llama")
writer.add_uint8("test.u8", 200)
writer.add_int8("test.i8", -100)
writer.add_uint16("test.u16", 60000)
writer.add_int16("test.i16", -30000)
writer.add_uint32("test.u32", 4000000000)
writer.add_int32("test.i32", -2000000000)
writer.add_float32("test.f32", 0.1)
writer.add_uint64("test.u64", 2**63 + 5)
writer.add_int64("test.i64", -(2**62))
writer.add_float64("test.f64", 0.1)
writer.add_bool("test.bool", True)
writer.add_string("test.string", "grüße 数 🙂")
for name, kind, values in (
    ("u8", V.UINT8, [1, 2, 255]), ("i8", V.INT8, [-1, 2]), ("u16", V.UINT16, [1, 65535]), ("i16", V.INT16, [-5, 5]),
    ("u32", V.UINT32, [7]), ("i32", V.INT32, [-1, 0, 1]), ("f32", V.FLOAT32, [0.5, -2.25]), ("bool", V.BOOL, [True, False]),
    ("u64", V.UINT64, [2**64 - 1]), ("i64", V.INT64, [-(2**63)]), ("f64", V.FLOAT64, [1e300]),
    ("string", V.STRING, ["a", "", "ö"]),
):
    writer.add_key_value(f"test.array.{name}", values, V.ARRAY, sub_type=kind)
writer.add_key_value("test.array.nested", [[1, 2], [3]], V.ARRAY, sub_type=V.ARRAY)

rows = np.arange(3 * 64, dtype=np.float32).reshape(3, 64) / 8 - 10
writer.add_tensor("f32", rows[:, :5].copy())
writer.add_tensor("f16", rows.astype(np.float16))
writer.add_tensor("bf16", quantize(rows, T.BF16), raw_dtype=T.BF16)
writer.add_tensor("q8_0", quantize(rows, T.Q8_0), raw_dtype=T.Q8_0)
writer.add_tensor("stack", rows.reshape(3, 2, 32).copy())
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
