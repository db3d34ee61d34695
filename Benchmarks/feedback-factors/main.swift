// The error of every type with feedback, relative to that without: one line "model,tensor,type,ratio" for every matrix and
// type. Scripts/derive-feedback makes a table of them.
//
//     feedback-factors Examples/demo-model calibration Examples/held-out.txt [every N-th layer]
//
// The error is eᵀHe over sampled rows. Both encoders see the first text, and H is that of the second, of another kind.
import Blocks
import Checkpoint
import Fit
import Foundation
import GGUF
import Imatrix
import Tensors
import Tokenizers
import Transformer

/// Rows of a matrix that are encoded.
let rowCount = 32

guard CommandLine.arguments.count >= 4 else {
  print("usage: feedback-factors MODEL TEXT HELD-OUT [STEP]")
  exit(64)
}
let model = try openModel(path: CommandLine.arguments[1])
let step = CommandLine.arguments.count > 4 ? Int(CommandLine.arguments[4]) ?? 1 : 1
let tokenizer = try Tokenizer(metadata: model.metadata)
let types = GGMLType.allCases.filter(\.takesFeedback)

func sample(_ tensor: TensorInfo) throws -> [Float] {
  let count = min(tensor.shape.rows, rowCount)
  return try (0..<count).flatMap { number in
    let row = number * tensor.shape.rows / count
    return try model.rows(row..<row + 1, of: tensor)
  }
}

/// The errors of rows that were encoded as `type`, with feedback if there is a metric.
func errors(_ rows: [Float], as type: GGMLType, importance: [Float], metric: FeedbackMetric?) throws -> [Float] {
  let columns = importance.count
  var bytes = [UInt8](repeating: 0, count: rows.count / columns * (type.rowBytes(columns: columns) ?? 0))
  var span = bytes.mutableSpan
  var raw = span.mutableBytes
  if let metric {
    try encodeRowsInParallel(
      rows.span, columns: columns, metric: metric, importance: importance.span, as: type, effort: .scales, into: &raw)
  } else {
    try encodeRowsInParallel(rows.span, columns: columns, importance: importance.span, as: type, into: &raw)
  }
  var decoded = [Float](repeating: 0, count: rows.count)
  var output = decoded.mutableSpan
  decodeRows(bytes.span.bytes, as: type, into: &output)
  return zip(rows, decoded).map { $0 - $1 }
}

/// Calls `receive` with the Gram matrix of every input over a text.
func collect(_ text: String, _ receive: @escaping (GramInput) throws -> Void) throws {
  let windows = try CalibrationText(paths: [text]).windows(by: tokenizer, context: 512).windows
  let collector = GramCollector(
    tokens: .max, wantsOutput: true, wants: { name in TensorName(name).layer.map { $0 % step == 0 } ?? true }
  ) { input in
    guard case .whole = input.matrix else { return }
    try receive(input)
  }
  _ = try ForwardPass(source: model).run(windows: windows, scored: 0..<0, observer: collector) { _ in
    try collector.close()
  }
  try collector.close()
}

var heldOut: [String: GramMatrix] = [:]
try collect(CommandLine.arguments[3]) { heldOut[$0.tensors[0]] = $0.gram }
try collect(CommandLine.arguments[2]) { input in
  guard let judge = heldOut[input.tensors[0]] else { return }
  let gram = input.gram
  let metric = try FeedbackMetric(diagonalBlocks: gram.values.span, columns: gram.columns, blockColumns: gram.columns)
  let importance = gram.diagonal.map { $0 / Float(gram.tokens) }
  for name in input.tensors {
    guard let tensor = model.tensor(named: name), tensor.isQuantizable else { continue }
    let rows = try sample(tensor)
    for type in types where tensor.shape.columns % type.blockLength == 0 {
      let plain = try errors(rows, as: type, importance: importance, metric: nil)
      let fed = try errors(rows, as: type, importance: importance, metric: metric)
      print("\(model.name),\(name),\(type.name),\(judge.cost(of: fed.span) / judge.cost(of: plain.span))")
    }
  }
}
