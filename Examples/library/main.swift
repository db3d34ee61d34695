// Fits a model to a size with qtool's library, and prints the evidence for the result:
//
//     swift run -c release quantize-example Examples/demo-model calibration 1600000 demo-1.6MB.gguf
import Checkpoint
import Fit
import Foundation
import GGUF
import Imatrix
import Quantize

guard CommandLine.arguments.count == 5, let bytes = Int(CommandLine.arguments[3]) else {
  print("usage: quantize-example MODEL TEXT BYTES OUT.gguf")
  exit(64)
}
let output = CommandLine.arguments[4]

// A folder of safetensors or a GGUF: metadata, and tensors whose rows can be read.
let model = try openModel(path: CommandLine.arguments[1])

// Measurements are stored beside the output, so that the same command continues a run, and another size reuses them.
var job = FitJob(
  of: model, target: bytes, text: try CalibrationText(paths: [CommandLine.arguments[2]]),
  run: FitRun(version: "example"))
job.budget = 30
job.workspace = Workspace(output: output, model: model.name)
try job.check()

// Measures importance and sensitivities, allocates, searches, and compares with the stock mixes.
let matrix = try job.importance()
let report = try job.run(matrix)
print("types from the \(report.choice)")
if let comparison = report.comparison, let best = comparison.best {
  print("KL divergence \(comparison.fitted) nats, \(best.name) \(best.divergence)")
}

// Rows are streamed: memory does not depend on the model's size. The file gets its name when it is complete.
let plan = try job.header(matrix, evidence: report.evidence).plan(report.types(for: model))
let written = try Rewriter(plan, importance: matrix?.lookup).write(to: output, options: RewriteOptions())
print("\(output): \(written.bytes) bytes")
