import Files
import GGUF
import Tensors

/// For every weight matrix of a model, how strongly each of its input columns is driven: sums of squared activations
/// over a calibration text, and how many tokens they are sums of.
public struct ImportanceMatrix: Sendable, Equatable {
  /// The sums of one tensor.
  public struct Entry: Sendable, Equatable {
    /// Squared activations, [matrices, columns].
    public var sums: [Float]
    /// Tokens: one count for the tensor, or one for each expert of a stack.
    public var counts: [Float]

    public init(sums: [Float], counts: [Float]) {
      precondition(!counts.isEmpty && sums.count % counts.count == 0, "\(sums.count) sums by \(counts.count) counts")
      self.sums = sums
      self.counts = counts
    }

    /// False where no token went through the tensor, or all that did were zero.
    var saysSomething: Bool { counts.contains { $0 > 0 } && sums.contains { $0 > 0 } }

    /// Whether it is as wide as a tensor's matrices together, or for a stack other than of experts as one of them.
    func fits(_ tensor: TensorInfo) -> Bool {
      let (columns, matrices) = (tensor.shape.columns, tensor.shape.matrices)
      if counts.count == 1, sums.count == columns, !tensor.name.contains("_exps.") { return true }
      return sums.count == columns * matrices && (counts.count == 1 || counts.count == matrices)
    }
  }

  /// By tensor name, with `.weight`.
  public var entries: [String: Entry]
  /// Base names of the calibration texts.
  public var datasets: [String]
  /// Windows of text, and their length in tokens (0 where an old file does not say).
  public var chunkCount: Int
  public var chunkSize: Int
  /// Tensors of the file that are not importance.
  public internal(set) var unread: [String] = []

  public init(entries: [String: Entry], datasets: [String], chunkCount: Int, chunkSize: Int) {
    self.entries = entries
    self.datasets = datasets.map(Self.baseName)
    self.chunkCount = chunkCount
    self.chunkSize = chunkSize
  }

  /// Tensor names in the order of files.
  public var names: [String] { entries.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }

  /// SHA-256 of names, counts and sums: what tells whether two matrices lead to the same bytes.
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

  /// The last component of a path, of Windows too: local directories do not belong in a file that is published.
  static func baseName(_ path: String) -> String {
    path.split { $0 == "/" || $0 == "\\" }.last.map(String.init) ?? path
  }
}

extension ImportanceMatrix {
  /// Mean squared activations of a tensor, [matrices, columns], or nil where nothing is known of it.
  ///
  /// Matrices of a stack that were summed together (llama.cpp of 2024 did so with the heads of latent attention) share
  /// their mean.
  ///
  /// An expert that saw fewer tokens than ``starvedShare`` of an even share is drawn towards the mean of its layer's
  /// experts, in proportion to what it lacks: one that saw nothing gets the mean.
  public func importance(for tensor: TensorInfo) -> [Float]? {
    guard let entry = entries[tensor.name], entry.fits(tensor), entry.saysSomething else { return nil }
    let means = means(of: entry)
    let copies = tensor.shape.columns * tensor.shape.matrices / means.count
    return copies == 1 ? means : (0..<copies).flatMap { _ in means }
  }

  /// Whether ``importance(for:)`` has an answer, without working it out.
  public func hasImportance(for tensor: TensorInfo) -> Bool {
    entries[tensor.name].map { $0.fits(tensor) && $0.saysSomething } ?? false
  }

  private func means(of entry: Entry) -> [Float] {
    let width = entry.sums.count / entry.counts.count
    let total = entry.counts.reduce(0) { $0 + Double($1) }
    let least = total / Double(entry.counts.count) * Self.starvedShare
    var mean: [Double] = []
    if entry.counts.contains(where: { Double($0) < least }) {
      mean = [Double](repeating: 0, count: width)
      for (index, sum) in entry.sums.enumerated() { mean[index % width] += Double(sum) }
      for index in mean.indices { mean[index] /= total }
    }
    var result = [Float](repeating: 0, count: entry.sums.count)
    for (matrix, count) in entry.counts.enumerated() {
      let own = least > 0 ? min(1, Double(count) / least) : 1
      for column in 0..<width {
        let index = matrix * width + column
        let seen = count > 0 ? Double(entry.sums[index]) / Double(count) : 0
        result[index] = Float(own < 1 ? own * seen + (1 - own) * mean[column] : seen)
      }
    }
    return result
  }

  /// Experts that saw a smaller part of an even share than this count as starved.
  public static let starvedShare = 0.05
}

extension ImportanceMatrix {
  /// The sums of several matrices of one model, as if their texts had been one. A tensor that only some of them have
  /// gets the sums of those (``names(missingFromSome:)``).
  ///
  /// - Throws: ``ImatrixError/unmergeable(tensor:reason:)``
  public init(merging matrices: [ImportanceMatrix]) throws(ImatrixError) {
    precondition(!matrices.isEmpty)
    let matrices = matrices.map(\.withTensorNames)
    self = matrices[0]
    for other in matrices.dropFirst() {
      for name in other.names {
        let entry = other.entries[name]!
        guard var own = entries[name] else {
          entries[name] = entry
          continue
        }
        guard own.sums.count == entry.sums.count else {
          throw .unmergeable(tensor: name, reason: "has \(own.sums.count) and \(entry.sums.count) columns")
        }
        guard own.counts.count == entry.counts.count || own.counts.count == 1 || entry.counts.count == 1 else {
          throw .unmergeable(tensor: name, reason: "has \(own.counts.count) and \(entry.counts.count) experts")
        }
        let counts = max(own.counts.count, entry.counts.count)
        own.counts = (0..<counts).map {
          own.counts[min($0, own.counts.count - 1)] + entry.counts[min($0, entry.counts.count - 1)]
        }
        for index in own.sums.indices { own.sums[index] += entry.sums[index] }
        entries[name] = own
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

  /// Tensors that some of the matrices to merge have entries for, and others do not.
  public static func names(missingFromSome matrices: [ImportanceMatrix]) -> [String] {
    var counts: [String: Int] = [:]
    for name in matrices.lazy.flatMap(\.withTensorNames.entries.keys) { counts[name, default: 0] += 1 }
    return counts.filter { $0.value < matrices.count }.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}
