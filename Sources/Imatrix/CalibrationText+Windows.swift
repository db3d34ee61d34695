import Tensors

/// The order and shares of documents in the calibration text.
public struct CalibrationMix: Sendable {
  /// Relative shares of the tokens by file name, with or without extension. Files without a weight are not used. If
  /// empty, every document is used once.
  public var weights: [String: Double]
  /// The seed for shuffling the documents of every file; nil keeps their order.
  public var seed: UInt64?

  /// A mix with these shares and seed.
  public init(weights: [String: Double] = [:], seed: UInt64? = nil) {
    self.weights = weights
    self.seed = seed
  }
}

extension CalibrationText {
  /// Splits all text into windows of `context` tokens.
  ///
  /// - Parameters:
  ///   - bos: the first token of every window, if the vocabulary requires one.
  ///   - first: the number of windows to skip.
  ///   - limit: the maximum number of windows to return.
  ///   - encode: returns a document's token ids, without BOS.
  /// - Throws: ``CalibrationError/tooShort(tokens:needed:)``, ``CalibrationError/nothingLeft(windows:first:)``,
  ///   ``CalibrationError/unknownSource(_:known:)``
  public func windows(
    context: Int, bos: Int32?, mix: CalibrationMix = CalibrationMix(), first: Int = 0, limit: Int? = nil,
    encode: (String) -> [Int32]
  ) throws -> [[Int32]] {
    precondition(context > 0 && first >= 0, "\(context) tokens, from window \(first)")
    // As in llama-imatrix: BOS is prepended to the text, and replaces the first token of each further window.
    let lead = bos.map { [$0] } ?? []
    let tokens =
      mix.weights.isEmpty
      ? lead
        + sources.enumerated().flatMap { index, source in
          ordered(source, index, mix.seed).flatMap { encode($0) }
        } : try lead + weighted(mix, encode)
    guard tokens.count >= context else {
      throw CalibrationError.tooShort(tokens: tokens.count, needed: context)
    }
    guard first < tokens.count / context else {
      throw CalibrationError.nothingLeft(windows: tokens.count / context, first: first)
    }
    let count = min(tokens.count / context - first, limit ?? .max)
    return (first..<first + count).map { index in
      var window = Array(tokens[index * context..<(index + 1) * context])
      if let bos { window[0] = bos }
      return window
    }
  }

  private func ordered(_ source: Source, _ index: Int, _ seed: UInt64?) -> [String] {
    guard let seed else { return source.documents }
    var random = SplitMix(seed: seed &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15)
    return source.documents.shuffled(using: &random)
  }

  /// Takes the next document from the file that is furthest below its share, until one file is exhausted. The shares
  /// hold in every prefix of the text.
  private func weighted(_ mix: CalibrationMix, _ encode: (String) -> [Int32]) throws -> [Int32] {
    var weights = [Double](repeating: 0, count: sources.count)
    for (name, weight) in mix.weights.sorted(by: { $0.key < $1.key }) {
      let matching = sources.indices.filter { sources[$0].name == name || sources[$0].name.hasPrefix(name + ".") }
      guard !matching.isEmpty else { throw CalibrationError.unknownSource(name, known: names) }
      for index in matching { weights[index] = max(0, weight) }
    }
    let sum = weights.reduce(0, +)
    let queues = sources.enumerated().map { ordered($1, $0, mix.seed) }
    var next = [Int](repeating: 0, count: sources.count)
    var taken = [Int](repeating: 0, count: sources.count)
    var tokens: [Int32] = []
    let used = weights.indices.filter { weights[$0] > 0 }
    while !used.isEmpty {
      let neediest = used.max {
        weights[$0] / sum * Double(tokens.count) - Double(taken[$0])
          < weights[$1] / sum * Double(tokens.count) - Double(taken[$1])
      }!
      guard next[neediest] < queues[neediest].count else { break }
      let document = encode(queues[neediest][next[neediest]])
      next[neediest] += 1
      taken[neediest] += document.count
      tokens += document
    }
    return tokens
  }
}
