import Blocks
import Foundation
import GGUF
import Imatrix
import Quantize
import Tensors
import Transformer

/// The work of a run with error feedback in seconds: that of the pass with its sums, and that of encoding each tensor. Progress
/// is reported in it.
public struct FeedbackWork: Sendable, Equatable {
  /// The speed of a machine.
  struct Speed {
    /// Floating-point operations per second in matrix products, on all threads.
    var operations = FitPolicy.nominalSpeed
    /// Seconds to read and decode a stored byte of weights.
    var reading = 0.0
    /// Seconds to encode a weight, by type, in rows of one panel: without the products between panels.
    var feedback: [GGMLType: Double] = [:]
    var plain: [GGMLType: Double] = [:]

    /// Nominal seconds for a weight where none were measured.
    static var nominal: Double { FitPolicy.nominalEncoding(1) }
    /// K-quants of 256 columns take 0.4 to 0.6 µs at the default effort, and the mean of plain encoders is 0.04 µs
    /// (Documentation/benchmarks.md).
    static var nominalFeedback: Double { 10 * nominal }
  }

  /// Tokens of each stream.
  public internal(set) var tokens = 0
  /// 2 if the rounded layers run beside the exact ones, else 1.
  public internal(set) var streams = 1
  /// Stored bytes of weights that the pass reads.
  public internal(set) var passBytes = 0
  /// Stored bytes that the encoder reads.
  public internal(set) var encoderBytes = 0
  /// Maximum bytes in memory with feedback.
  public internal(set) var residentBytes = 0
  /// Maximum bytes in memory without feedback.
  public internal(set) var residentBytesWithout = 0
  /// Seconds of the pass: the streams, and the sums over their inputs.
  public internal(set) var pass = 0.0
  /// Seconds of factors, corrections and rows, by the index of an encoded tensor.
  var encoding: [Int: Double] = [:]
  /// Seconds to write the same types without feedback.
  public internal(set) var secondsWithout = 0.0

  /// Leaves out tensors of other parts, and what the pass does outside of a fraction of its layers.
  ///
  /// - Parameter bytes: stored bytes of the chosen tensors.
  mutating func keep(_ chosen: Set<Int>, bytes: Int, passing fraction: ClosedRange<Double>) {
    secondsWithout *= Double(bytes) / Double(max(1, encoderBytes))
    encoderBytes = bytes
    pass *= fraction.upperBound - fraction.lowerBound
    passed = fraction
    encoding = encoding.filter { chosen.contains($0.key) }
  }

  /// The fraction of the whole pass that is run.
  private(set) var passed = 0.0...1

  /// Seconds of the whole run.
  public var seconds: Double { pass + encoding.values.reduce(0, +) }
}

extension FeedbackWork {
  /// The work of runs that share a pass. The tensors of each run follow those of the run before.
  init(sharing all: [FeedbackWork], tensorCount: Int) {
    self = all[0]
    encoding = [:]
    for (index, work) in all.enumerated() {
      for (tensor, seconds) in work.encoding { encoding[index * tensorCount + tensor] = seconds }
    }
    // All files share the exact stream. Runs in one stream share the whole pass.
    pass = all.reduce(0) { $0 + $1.pass } / Double(all.count)
    if streams > 1 { pass *= Double(all.count + 1) / 2 }
  }
}

extension FeedbackRun {
  /// The work of this run, from timing products and encoders on this machine for a few tenths of a second.
  public func work() throws -> FeedbackWork {
    var speed = FeedbackWork.Speed()
    (speed.operations, speed.reading) = try pass.measuredSpeed(try passPlan())
    // A type of less than 2 % of the weights hardly changes the sum, and takes as long to time.
    let weights = Dictionary(zip(plan.source.tensors, plan.types).map { ($1, $0.shape.count) }, uniquingKeysWith: +)
    let all = weights.values.reduce(0, +)
    for (type, count) in weights where type.isQuantized && 50 * count > all {
      speed.plain[type] = try EncodingSpeed.seconds(of: type)
      if type.takesFeedback { speed.feedback[type] = try EncodingSpeed.seconds(of: type, effort: effort) }
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
    var operations = forward.operations
    var inputs = Set<String>()
    for (index, tensor) in source.tensors.enumerated() where types[index] != tensor.type {
      let type = types[index]
      let plain = Double(tensor.shape.count) * (speed.plain[type] ?? FeedbackWork.Speed.nominal)
      work.secondsWithout += plain + Double(stored(tensor)) * speed.reading
      guard encoded[tensor.name] != nil, type.takesFeedback else {
        work.encoding[index] = plain
        continue
      }
      var seconds = rowSeconds(of: tensor, as: type, at: speed)
      if inputs.insert(Self.input(of: tensor)).inserted {
        operations += sumOperations(of: tensor, tokens: work.tokens)
        seconds += factorSeconds(of: tensor, at: speed)
      }
      work.encoding[index] = seconds
    }
    work.pass = operations / speed.operations + Double(forward.bytesToRead) * speed.reading
    return work
  }

  /// Seconds to encode the rows of a tensor in a metric, and to correct them.
  private func rowSeconds(of tensor: TensorInfo, as type: GGMLType, at speed: FeedbackWork.Speed) -> Double {
    let weights = Double(tensor.shape.count)
    let block = Double(blocks.width(tensor.shape.columns))
    // A weight's error goes to half of the block's columns on average; each of three sweeps multiplies by all of them.
    let perColumn = effort >= .descent ? 1.0 + 3 * 2 : 1
    var operations = weights * perColumn * block
    if isSequential { operations += 2 * weights * Double(tensor.shape.columns) }
    return weights * (speed.feedback[type] ?? FeedbackWork.Speed.nominalFeedback) + operations / speed.operations
  }

  /// Operations of the sums over a tensor's input: half of a symmetric matrix, or that and the difference of two streams.
  private func sumOperations(of tensor: TensorInfo, tokens: Int) -> Double {
    let columns = Double(tensor.shape.columns)
    let perToken = columns * Double(blocks.width(tensor.shape.columns)) * (isSequential ? 3 : 1)
    let matrices = Double(tensor.shape.matrices)
    return perToken * Double(tokens) * (matrices > 1 ? expertShare * matrices : 1)
  }

  /// Seconds to factor the metrics of a tensor's input, and to solve for its correction.
  private func factorSeconds(of tensor: TensorInfo, at speed: FeedbackWork.Speed) -> Double {
    let columns = Double(tensor.shape.columns)
    let block = Double(blocks.width(tensor.shape.columns))
    let cubes = Double(tensor.shape.matrices) * columns / block * block * block * block
    // 2/3 multiplications for a factor and its inverse; for the correction another factor, and two triangular solutions.
    let operations = cubes * (4.0 / 3 + (isSequential ? 2.0 / 3 + 2 : 0))
    // In double precision, at half the speed.
    return 2 * operations / speed.operations
  }

  /// The fraction of tokens that an expert receives on average.
  private var expertShare: Double {
    let metadata = plan.source.metadata
    let architecture = metadata.optionalString("general.architecture") ?? ""
    let (count, used) = (
      metadata.optionalInt("\(architecture).expert_count") ?? 1,
      metadata.optionalInt("\(architecture).expert_used_count") ?? 1
    )
    return Double(used) / Double(max(1, count))
  }

  /// A name for the input of a tensor: equal for tensors that share one.
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
}
