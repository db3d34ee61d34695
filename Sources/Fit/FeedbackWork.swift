import Blocks
import Foundation
import GGUF
import Imatrix
import Quantize
import Tensors
import Transformer

/// The work of a run with error feedback in seconds, by which its progress is told: of the pass with its sums, and of
/// encoding each tensor.
public struct FeedbackWork: Sendable, Equatable {
  /// The speed of a machine.
  struct Speed {
    /// Floating-point operations in a second of matrix products, on all threads.
    var operations = FitPolicy.nominalSpeed
    /// Seconds for each stored byte of weights that is read and decoded.
    var reading = 0.0
    /// Seconds for a weight in rows of 256 columns, by type; those of one panel without products.
    var feedback: [GGMLType: Double] = [:]
    var plain: [GGMLType: Double] = [:]

    /// Nominal seconds for a weight where none were measured.
    static var nominal: Double { FitPolicy.nominalEncoding(1) }
    static var nominalFeedback: Double { 10 * nominal }
  }

  /// Tokens that go through each stream.
  public internal(set) var tokens = 0
  /// 2 where the layers that are rounded run beside the exact ones.
  public internal(set) var streams = 1
  /// Stored bytes of weights that the pass reads.
  public internal(set) var passBytes = 0
  /// Stored bytes that the encoder reads.
  public internal(set) var encoderBytes = 0
  /// Maximum bytes in memory, with feedback and without.
  public internal(set) var residentBytes = 0
  public internal(set) var residentBytesWithout = 0
  /// Seconds of the pass: the streams, and the sums over their inputs.
  public internal(set) var pass = 0.0
  /// Seconds of every tensor that is encoded, by index: factors, corrections and rows.
  var encoding: [Int: Double] = [:]
  /// Seconds of writing the same types without feedback.
  public internal(set) var secondsWithout = 0.0

  /// Leaves out tensors of other parts, and what the pass does behind a fraction of its layers.
  mutating func keep(_ chosen: Set<Int>?, passing fraction: Double) {
    pass *= fraction
    passed = fraction
    if let chosen { encoding = encoding.filter { chosen.contains($0.key) } }
  }

  /// The fraction of the whole pass that is run.
  private(set) var passed = 1.0

  /// Seconds of the whole run.
  public var seconds: Double { pass + encoding.values.reduce(0, +) }
}

extension FeedbackRun {
  /// The work of this run, by a few tenths of a second of products and of encoding on this machine.
  public func work() throws -> FeedbackWork {
    var speed = FeedbackWork.Speed()
    (speed.operations, speed.reading) = try pass.measuredSpeed(try passPlan())
    // Types of few weights don't matter.
    let weights = Dictionary(zip(plan.source.tensors, plan.types).map { ($1, $0.shape.count) }, uniquingKeysWith: +)
    let all = weights.values.reduce(0, +)
    for (type, count) in weights where type.isQuantized && 50 * count > all {
      speed.plain[type] = try Self.encodingSeconds(type, effort: nil)
      if type.takesFeedback { speed.feedback[type] = try Self.encodingSeconds(type, effort: effort) }
    }
    return try work(at: speed)
  }

  /// The work of this run at some speed.
  func work(at speed: FeedbackWork.Speed) throws -> FeedbackWork {
    let forward = try passPlan()
    let (source, types) = (plan.source, plan.types)
    func stored(_ tensor: TensorInfo) -> Int { tensor.shape.bytes(as: tensor.type) ?? 0 }
    var work = FeedbackWork()
    work.tokens = windows.reduce(0) { $0 + $1.count }
    work.streams = isSequential ? 2 : 1
    work.passBytes = forward.bytesToRead
    work.encoderBytes = source.tensors.reduce(0) { $0 + stored($1) }
    work.residentBytes = forward.residentBytes
    work.residentBytesWithout = pass.programBytes + 3 * plan.chunkBytes
    let encoded = tensors
    let used = expertShare
    var operations = 0.0
    var inputs = Set<String>()
    for (index, tensor) in source.tensors.enumerated() where types[index] != tensor.type {
      let (type, n) = (types[index], Double(tensor.shape.columns))
      let weights = Double(tensor.shape.count)
      let plain = weights * (speed.plain[type] ?? FeedbackWork.Speed.nominal)
      work.secondsWithout += plain + Double(stored(tensor)) * speed.reading
      guard encoded[tensor.name] != nil, type.takesFeedback else {
        work.encoding[index] = plain
        continue
      }
      let block = Double(blocks.width(tensor.shape.columns))
      // Errors go to half of the later columns on average; each sweep multiplies by all.
      let products = weights * (effort >= .descent ? 7 : 1) * block / speed.operations
      var seconds = weights * (speed.feedback[type] ?? FeedbackWork.Speed.nominalFeedback) + products
      if inputs.insert(Self.input(of: tensor)).inserted {
        let matrices = Double(tensor.shape.matrices)
        let tokens = Double(work.tokens) * (tensor.shape.matrices > 1 ? used : 1)
        operations += tokens * n * block * (isSequential ? 3 : 1) * (tensor.shape.matrices > 1 ? matrices : 1)
        // In double precision, at half the speed.
        let cubes = matrices * n / block * block * block * block
        seconds += 2 * cubes * (4.0 / 3 + (isSequential ? 2.0 / 3 + 2 : 0)) / speed.operations
      }
      if isSequential { seconds += 2 * weights * n / speed.operations }
      work.encoding[index] = seconds
    }
    work.pass =
      (forward.operations + operations) / speed.operations + Double(forward.bytesToRead) * speed.reading
    return work
  }

  /// Tokens of an expert, as a part of all.
  private var expertShare: Double {
    let metadata = plan.source.metadata
    let architecture = metadata.optionalString("general.architecture") ?? ""
    let (count, used) = (
      metadata.optionalInt("\(architecture).expert_count") ?? 1,
      metadata.optionalInt("\(architecture).expert_used_count") ?? 1
    )
    return Double(used) / Double(max(1, count))
  }

  /// A name for the input of a tensor, which those of a layer share.
  private static func input(of tensor: TensorInfo) -> String {
    let name = TensorName(tensor.name)
    let kind =
      switch name.layerClass {
      case "attn_q.weight", "attn_k.weight", "attn_v.weight": "attn"
      case "ffn_gate.weight", "ffn_up.weight": "ffn"
      case "ffn_gate_exps.weight", "ffn_up_exps.weight": "ffn_exps"
      default: name.layerClass
      }
    return "\(name.layer.map(String.init) ?? "") \(kind)"
  }

  /// Seconds for a weight on all threads, in rows of one panel.
  ///
  /// - Parameter effort: nil without feedback.
  static func encodingSeconds(_ type: GGMLType, effort: FeedbackEffort?) throws -> Double {
    var random = SplitMix(seed: 1)
    let columns = FeedbackMetric.panelColumns
    guard let rowBytes = type.rowBytes(columns: columns) else { return 0 }
    let rows = 32 * max(1, Threads.count)
    let weights = (0..<rows * columns).map { _ in Float(random.normal()) }
    let importance = [Float](repeating: 1, count: columns)
    var gram = GramMatrix(columns: columns)
    try gram.add(weights.span)
    try gram.finish()
    let metric = try FeedbackMetric(diagonalBlocks: gram.values.span, columns: columns, blockColumns: columns)
    func encode(_ rows: Int) throws {
      let part = Array(weights[..<(rows * columns)])
      var bytes = [UInt8](repeating: 0, count: rows * rowBytes)
      if let effort {
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try encodeRowsInParallel(
          part.span, columns: columns, metric: metric, importance: importance.span, as: type, effort: effort, into: &raw
        )
      } else {
        _ = try encodeInParallel(part, columns: columns, importance[...], as: type, into: &bytes)
      }
    }
    // Tables are made once.
    try encode(1)
    let start = ContinuousClock.now
    try encode(rows)
    return Double((ContinuousClock.now - start) / .seconds(1)) / Double(weights.count)
  }
}
