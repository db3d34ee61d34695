#!/usr/bin/env python3
"""importance.py QTOOL LLAMA_IMATRIX DONOR.gguf TEXT: importance of a dense, a MoE and two MLA models against
llama-imatrix, and every file read by the other program.

DONOR is the demo model as GGUF: its F32 form is the dense model, its tokenizer goes into the others. llama-imatrix gets
keys and values in F32 and no flash attention, so that both compute in single precision. Prints a line a check; exits
with 1 where one failed. Needs gguf and numpy.
"""
import pathlib
import struct
import subprocess
import sys
import tempfile

import gguf
import numpy as np

QTOOL, LLAMA, DONOR, TEXT = sys.argv[1:]
CHUNKS = "4"
TOLERANCE = 1e-3
results = []


def check(name, passed, detail=""):
    results.append(passed)
    print(f"{'ok  ' if passed else 'FAIL'} {name} {detail}".rstrip())


def run(*command):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read(path):
    return {tensor.name: np.array(tensor.data, np.float64) for tensor in gguf.GGUFReader(path).tensors}


def read_dat(path):
    data, place, result = path.read_bytes(), 4, {}

    def number():
        nonlocal place
        place += 4
        return struct.unpack_from("<i", data, place - 4)[0]

    for _ in range(struct.unpack_from("<i", data)[0]):
        length = number()
        name = data[place:place + length].decode()
        place += length
        calls, count = number(), number()
        result[name] = np.frombuffer(data, np.float32, count, place) / calls
        place += 4 * count
    return result


def difference(found, expected):
    """The largest difference of a tensor's sums, by their sum."""
    worst = max((np.abs(found[name] - expected[name]).sum() / np.abs(expected[name]).sum(), name) for name in expected)
    return worst[0], f"{worst[0]:.1e} ({worst[1]})"


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for shape in ["dense", "moe", "mla", "mla-joint"]:
        model = folder / f"{shape}.gguf"
        if shape == "dense":
            run(QTOOL, "convert", DONOR, "--type", "F32", "-o", model)
        else:
            run(sys.executable, pathlib.Path(__file__).parent / "synthetic.py", shape, DONOR, model)
        ours, theirs, old, their_old = (folder / f"{shape}.{name}" for name in [
            "ours.gguf", "theirs.gguf", "ours.dat", "theirs.dat"])
        run(QTOOL, "imatrix", model, "--calibration", TEXT, "--chunks", CHUNKS, "-o", ours)
        run(QTOOL, "imatrix", "--merge", ours, "-o", old)
        exact = ["--chunks", CHUNKS, "--no-ppl", "-fa", "off", "-ctk", "f32", "-ctv", "f32"]
        run(LLAMA, "-m", model, "-f", TEXT, "-o", theirs, *exact)
        run(LLAMA, "-m", model, "-f", TEXT, "-o", their_old, "--output-format", "dat", *exact)
        found, expected = read(ours), read(theirs)
        check(f"{shape}: names", found.keys() == expected.keys(), f"{len(expected)}")
        counts = [name for name in expected if name.endswith(".counts")]
        check(f"{shape}: counts", all(np.array_equal(found[name].ravel(), expected[name].ravel()) for name in counts))
        sums = {name: values for name, values in expected.items() if name.endswith(".in_sum2")}
        amount, detail = difference(found, sums)
        check(f"{shape}: sums", amount < TOLERANCE, detail)

        # Experts that saw no token get their layer's mean here and ones there.
        unseen = {name.removesuffix(".counts") for name in counts if (expected[name] == 0).any()}
        old_sums = {name: values for name, values in read_dat(their_old).items() if name not in unseen}
        amount, detail = difference(read_dat(old), old_sums)
        check(f"{shape}: the older form", amount < TOLERANCE, detail)

        back = folder / f"{shape}.back.gguf"
        for source in [ours, old]:
            run(LLAMA, "-m", model, "--in-file", source, "-o", back)
            check(f"{shape}: llama-imatrix reads {source.suffix}", read(back).keys() == expected.keys())
        for source in [theirs, their_old]:
            run(QTOOL, "imatrix", "--merge", source, "-o", back, "--force")
            check(f"{shape}: qtool reads {source.suffix}", read(back).keys() == expected.keys())

failed = results.count(False)
print(f"{len(results) - failed} passed, {failed} failed")
sys.exit(failed > 0)
