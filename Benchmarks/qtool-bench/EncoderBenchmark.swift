import Blocks
import Foundation
import Tensors

/// The rows of one matrix, and the importance of each column.
struct Sample {
  let name: String
  let columns: Int
  let rows: [Float]
  let importance: [Float]?
}

/// Time and error of encoding one sample.
struct Measurement {
  var name = ""
  var weights = 0
  /// Minimum CPU seconds of the calling thread over all repetitions.
  var seconds = 0.0
  /// Σw(x - y)² / Σwx².
  var error = 0.0
  var ggmlSeconds: Double?
  var ggmlError: Double?

  var nanoseconds: Double { seconds * 1e9 / Double(max(1, weights)) }
  var ggmlNanoseconds: Double? { ggmlSeconds.map { $0 * 1e9 / Double(max(1, weights)) } }
}

/// Measures our encoder and ggml's on the same rows, alternating, in one thread.
struct EncoderBenchmark {
  let ggml: Ggml?
  let repetitions: Int

  func measure(_ sample: Sample, as type: GGMLType) throws -> Measurement {
    var result = Measurement(name: sample.name, weights: sample.rows.count)
    guard let rowBytes = type.rowBytes(columns: sample.columns) else { return result }
    var ours = [UInt8](repeating: 0, count: rowBytes * (sample.rows.count / sample.columns))
    var theirs = ours
    ggml?.prepare(type)
    result.seconds = .infinity
    for _ in 0..<max(1, repetitions) {
      let start = Self.threadSeconds()
      try Self.encode(sample, as: type, into: &ours)
      result.seconds = min(result.seconds, Self.threadSeconds() - start)
      guard let ggml else { continue }
      let ggmlStart = Self.threadSeconds()
      ggml.encode(sample.rows, columns: sample.columns, importance: sample.importance, as: type, into: &theirs)
      result.ggmlSeconds = min(result.ggmlSeconds ?? .infinity, Self.threadSeconds() - ggmlStart)
    }
    result.error = Self.error(ours, sample, type)
    if ggml != nil { result.ggmlError = Self.error(theirs, sample, type) }
    return result
  }

  static func encode(_ sample: Sample, as type: GGMLType, into bytes: inout [UInt8]) throws {
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    if let importance = sample.importance {
      try encodeRows(
        sample.rows.span, columns: sample.columns, importance: importance.span, as: type, into: &raw)
    } else {
      try encodeRows(sample.rows.span, columns: sample.columns, importance: nil, as: type, into: &raw)
    }
  }

  static func error(_ bytes: [UInt8], _ sample: Sample, _ type: GGMLType) -> Double {
    var decoded = [Float](repeating: 0, count: sample.rows.count)
    var output = decoded.mutableSpan
    decodeRows(bytes.span.bytes, as: type, into: &output)
    var error = RelativeError()
    error.add(
      decoded.span, to: sample.rows.span, columns: sample.columns, weights: sample.importance?.map(Double.init))
    return error.value
  }

  static func threadSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}

/// The measurements of one type.
struct TypeSummary {
  let type: GGMLType
  let measurements: [Measurement]

  private func perWeight(_ seconds: (Measurement) -> Double?) -> Double? {
    var sum = 0.0
    var weights = 0
    for measurement in measurements {
      guard let part = seconds(measurement) else { return nil }
      sum += part
      weights += measurement.weights
    }
    return sum * 1e9 / Double(max(1, weights))
  }

  var nanoseconds: Double { perWeight { $0.seconds } ?? 0 }
  var ggmlNanoseconds: Double? { perWeight { $0.ggmlSeconds } }
  var speedup: Double? { ggmlNanoseconds.map { $0 / nanoseconds } }
  /// The mean over tensors of the relative error.
  var error: Double { measurements.reduce(0) { $0 + $1.error } / Double(max(1, measurements.count)) }
  var ggmlError: Double? {
    let errors = measurements.compactMap(\.ggmlError)
    return errors.count == measurements.count ? errors.reduce(0, +) / Double(max(1, errors.count)) : nil
  }
  /// Our error divided by ggml's: the mean over tensors, and the maximum.
  var errorRatio: (mean: Double, worst: Double)? {
    let ratios = measurements.compactMap { one in one.ggmlError.map { $0 > 0 ? one.error / $0 : 1 } }
    guard ratios.count == measurements.count, let worst = ratios.max() else { return nil }
    return (ratios.reduce(0, +) / Double(ratios.count), worst)
  }
}
