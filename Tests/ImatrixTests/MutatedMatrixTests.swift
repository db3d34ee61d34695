import Files
import Foundation
import GGUF
import Imatrix
import Tensors
import TestSupport
import Testing

/// Damaged and forged importance matrices give typed errors.
@Suite struct MutatedMatrixTests {
  @Test(arguments: ["a.gguf", "a.dat"]) func survive(_ name: String) async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      [name = name as String] in
      let directory = try TemporaryDirectory()
      let path = directory.path(name)
      if name.hasSuffix(".dat") {
        try ImportanceMatrixTests.matrix.write(legacy: path)
      } else {
        try ImportanceMatrixTests.matrix.write(gguf: path)
      }
      let tensors = [
        TensorInfo(name: "blk.0.attn_q.weight", shape: Shape([3, 5])!, type: .f16),
        TensorInfo(name: "blk.0.ffn_up_exps.weight", shape: Shape([2, 5, 3])!, type: .f16),
      ]
      try MutatedFiles.binary.survive(
        Array(try Data(contentsOf: URL(filePath: path))), named: name,
        isTyped: { $0 is ImatrixError || $0 is FormatError || $0 is MetadataError || $0 is FileError },
        read: { path, _ in
          let matrix = try ImportanceMatrix(path: path)
          for tensor in tensors { _ = matrix.importance(for: tensor) }
          _ = matrix.coverage
          let values = [Float](repeating: 0, count: 30)
          let model = MemoryModel(
            metadata: [:], tensors: tensors.map { ($0.name, $0.shape.dimensions, Array(values[..<$0.shape.count])) })
          _ = try matrix.fitted(to: model, file: name)
        })
    }
    // The output of the process, if it crashed.
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }
}
