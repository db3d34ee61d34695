import Files
import GGUF
import Tensors

/// The importance of each input column of a model's weight matrices: sums of squared activations over a calibration
/// text, and the numbers of tokens.
public struct ImportanceMatrix: Sendable, Equatable {
  /// The sums of one tensor.
  public struct Entry: Sendable, Equatable {
    /// Sums of squared activations, [matrices, columns].
    public var sums: [Float]
    /// Numbers of tokens: one for the tensor, or one per expert of a stack.
    public var counts: [Float]

    /// - Precondition: `sums.count` is a multiple of `counts.count`, which is not 0.
    public init(sums: [Float], counts: [Float]) {
      precondition(!counts.isEmpty && sums.count % counts.count == 0, "\(sums.count) sums by \(counts.count) counts")
      self.sums = sums
      self.counts = counts
    }

    /// False if the tensor processed no tokens, or all its activations were 0.
    var isInformative: Bool { counts.contains { $0 > 0 } && sums.contains { $0 > 0 } }

    /// Whether the width is that of all matrices of a tensor together or, except for experts, of one of them.
    func fits(_ tensor: TensorInfo) -> Bool {
      let (columns, matrices) = (tensor.shape.columns, tensor.shape.matrices)
      if counts.count == 1, sums.count == columns, !tensor.name.contains("_exps.") { return true }
      return sums.count == columns * matrices && (counts.count == 1 || counts.count == matrices)
    }
  }

  /// Entries by tensor name, including `.weight`.
  public var entries: [String: Entry]
  /// Base names of the calibration texts.
  public var datasets: [String]
  /// The number of windows of text.
  public var chunkCount: Int
  /// The length of a window in tokens; 0 if an old file does not record it.
  public var chunkSize: Int
  /// Names of the file's tensors that are not importance.
  public internal(set) var unread: [String] = []

  /// - Parameter datasets: paths or names of texts, of which the base names are kept.
  public init(entries: [String: Entry], datasets: [String], chunkCount: Int, chunkSize: Int) {
    self.entries = entries
    self.datasets = datasets.map(Self.baseName)
    self.chunkCount = chunkCount
    self.chunkSize = chunkSize
  }

  /// Tensor names in the order of their bytes, which is the order in files.
  public var names: [String] { entries.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }

  /// SHA-256 of names, counts and sums, in hexadecimal. Matrices of equal digest give equal quantized bytes.
  public var digest: String {
    var digest = DataDigest()
    for name in names {
      guard let entry = entries[name] else { continue }
      digest.update(Array("\(name) \(entry.counts.count) \(entry.sums.count)\n".utf8).span.bytes)
      digest.update(entry.counts.span.bytes)
      digest.update(entry.sums.span.bytes)
    }
    return digest.hex()
  }

  /// The last component of a Unix or Windows path. Published files must not contain local directories.
  static func baseName(_ path: String) -> String {
    path.split { $0 == "/" || $0 == "\\" }.last.map(String.init) ?? path
  }
}

extension ImportanceMatrix {
  /// The mean squared activations of a tensor, [matrices, columns]; nil if there are none.
  ///
  /// Matrices of a stack with common sums share the mean (llama.cpp of 2024 summed the heads of latent attention).
  ///
  /// An expert with fewer tokens than 5 % of an even share is interpolated towards the mean of its layer's experts.
  /// Without tokens, it gets the mean.
  public func importance(for tensor: TensorInfo) -> [Float]? {
    guard let entry = entries[tensor.name], entry.fits(tensor), entry.isInformative else { return nil }
    let means = means(of: entry)
    let copies = tensor.shape.columns * tensor.shape.matrices / means.count
    return copies == 1 ? means : (0..<copies).flatMap { _ in means }
  }

  /// Whether ``importance(for:)`` is not nil, without computing it.
  public func hasImportance(for tensor: TensorInfo) -> Bool {
    entries[tensor.name].map { $0.fits(tensor) && $0.isInformative } ?? false
  }

  private func means(of entry: Entry) -> [Float] {
    let width = entry.sums.count / entry.counts.count
    let total = entry.counts.reduce(0) { $0 + Double($1) }
    let minimum = total / Double(entry.counts.count) * Self.starvedShare
    var mean: [Double] = []
    if entry.counts.contains(where: { Double($0) < minimum }) {
      mean = [Double](repeating: 0, count: width)
      for (index, sum) in entry.sums.enumerated() { mean[index % width] += Double(sum) }
      for index in mean.indices { mean[index] /= total }
    }
    var result = [Float](repeating: 0, count: entry.sums.count)
    for (matrix, count) in entry.counts.enumerated() {
      let share = minimum > 0 ? min(1, Double(count) / minimum) : 1
      for column in 0..<width {
        let index = matrix * width + column
        let seen = count > 0 ? Double(entry.sums[index]) / Double(count) : 0
        result[index] = Float(share < 1 ? share * seen + (1 - share) * mean[column] : seen)
      }
    }
    return result
  }

  /// Experts with a smaller fraction of an even share of tokens count as starved.
  static let starvedShare = 0.05
}

extension ImportanceMatrix {
  /// The sums of several matrices of one model, as if computed from all texts. A tensor that is missing from some
  /// matrices gets the sums of the others (``names(missingFromSome:)``).
  ///
  /// - Throws: ``ImatrixError/unmergeable(tensor:reason:)``
  public init(merging matrices: [ImportanceMatrix]) throws(ImatrixError) {
    precondition(!matrices.isEmpty)
    let matrices = matrices.map(\.withTensorNames)
    self = matrices[0]
    for other in matrices.dropFirst() {
      for name in other.names {
        let entry = other.entries[name]!
        guard var merged = entries[name] else {
          entries[name] = entry
          continue
        }
        guard merged.sums.count == entry.sums.count else {
          throw .unmergeable(tensor: name, reason: "has \(merged.sums.count) and \(entry.sums.count) columns")
        }
        guard merged.counts.count == entry.counts.count || merged.counts.count == 1 || entry.counts.count == 1 else {
          throw .unmergeable(tensor: name, reason: "has \(merged.counts.count) and \(entry.counts.count) experts")
        }
        let counts = max(merged.counts.count, entry.counts.count)
        merged.counts = (0..<counts).map {
          merged.counts[min($0, merged.counts.count - 1)] + entry.counts[min($0, entry.counts.count - 1)]
        }
        for index in merged.sums.indices { merged.sums[index] += entry.sums[index] }
        entries[name] = merged
      }
      datasets += other.datasets
      chunkCount += other.chunkCount
      if chunkSize == 0 { chunkSize = other.chunkSize }
    }
  }

  /// The index of the first matrix to merge that has no tensor in common with the others.
  public static func indexOfUnrelated(_ matrices: [ImportanceMatrix]) -> Int? {
    guard matrices.count > 1 else { return nil }
    let names = matrices.map { Set($0.withTensorNames.entries.keys) }
    return names.indices.first { index in
      names.indices.allSatisfy { $0 == index || names[$0].isDisjoint(with: names[index]) }
    }
  }

  /// The tensors that have entries in some of the matrices, but not in all.
  public static func names(missingFromSome matrices: [ImportanceMatrix]) -> [String] {
    var counts: [String: Int] = [:]
    for name in matrices.lazy.flatMap(\.withTensorNames.entries.keys) { counts[name, default: 0] += 1 }
    return counts.filter { $0.value < matrices.count }.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}
