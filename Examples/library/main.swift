// Writes a model as Q4_K_M with qtool's library, and says what it did:
//
//     swift run -c release quantize-example Examples/demo-model demo-Q4_K_M.gguf
import Checkpoint
import Foundation
import GGUF
import Quantize
import Tensors

guard CommandLine.arguments.count == 3, let mix = StockMix(name: "Q4_K_M") else {
  print("usage: quantize-example MODEL OUT.gguf")
  exit(64)
}

// A folder of safetensors or a GGUF: metadata, and tensors whose rows can be read.
let model = try openModel(path: CommandLine.arguments[1])

// A type for every tensor, chosen by any rule. Here: llama-quantize's for Q4_K_M, and Q8_0 for the first layer.
var types = mix.types(for: model, hasImportance: false)
for (index, tensor) in model.tensors.enumerated() where tensor.name.hasPrefix("blk.0.") && tensor.isQuantizable {
  types[index] = .q8_0
}

// The size is known to the byte before anything is read.
let plan = RewritePlan(
  source: model, types: types, metadata: model.outputMetadata(fileType: mix.fileType, importance: nil))
print("\(model.name): \(plan.totalBytes) bytes to write")

// Rows stream: memory does not depend on the model's size. The file has its name once it is whole.
let report = try Rewriter(plan).write(to: CommandLine.arguments[2], options: RewriteOptions()) { tensor, bytes in
  print("\(bytes * 100 / plan.totalBytes) %  \(tensor)", terminator: "\r")
}
print("\n\(CommandLine.arguments[2]): \(report.bytes) bytes")
