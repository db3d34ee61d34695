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
  }

  /// By tensor name, with `.weight`.
  public var entries: [String: Entry]
  /// Base names of the calibration texts.
  public var datasets: [String]
  /// Windows of text, and their length in tokens (0 where an old file does not say).
  public var chunkCount: Int
  public var chunkSize: Int

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

  /// The last component of a path: local directories do not belong in a file that is published.
  static func baseName(_ path: String) -> String {
    path.split(separator: "/", omittingEmptySubsequences: true).last.map(String.init) ?? path
  }
}

extension ImportanceMatrix {
  /// Mean squared activations of a tensor, [matrices, columns], or nil where nothing is known of it.
  ///
  /// An expert that saw fewer tokens than ``starvedShare`` of an even share is drawn towards the mean of its layer's
  /// experts, in proportion to what it lacks: one that saw nothing gets the mean.
  public func importance(for tensor: TensorInfo) -> [Float]? {
    guard let entry = entries[tensor.name] else { return nil }
    let columns = tensor.shape.columns
    guard entry.sums.count == columns * tensor.shape.matrices else { return nil }
    let width = entry.sums.count / entry.counts.count
    let total = entry.counts.reduce(0) { $0 + Double($1) }
    guard total > 0 else { return nil }
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

  /// Refuses a model that this was not made from.
  ///
  /// - Throws: ``ImatrixError/otherModel(tensor:reason:)`` with the first difference, in the order of names.
  public func check(against model: any ModelSource) throws(ImatrixError) {
    for name in names {
      guard let tensor = model.tensor(named: name) else {
        // A tied head has its importance under its own name, and its weights in the embedding.
        if name == "output.weight" && model.tensor(named: "token_embd.weight") != nil { continue }
        throw .otherModel(tensor: name, reason: "is not in the model")
      }
      let expected = tensor.shape.columns * tensor.shape.matrices
      let found = entries[name]!.sums.count
      guard expected == found else {
        throw .otherModel(tensor: name, reason: "has \(found) columns, the model's has \(expected)")
      }
    }
    let blocks = Set(names.compactMap(Self.block))
    for tensor in model.tensors {
      if let block = Self.block(tensor.name), !blocks.contains(block) {
        throw .otherModel(tensor: tensor.name, reason: "is in a layer that has no importance")
      }
    }
  }

  static func block(_ name: String) -> Int? {
    let parts = name.split(separator: ".")
    return parts.count > 2 && parts[0] == "blk" ? Int(parts[1]) : nil
  }
}

extension ImportanceMatrix {
  /// The sums of several matrices of one model, as if their texts had been one.
  ///
  /// - Throws: ``ImatrixError/unmergeable(tensor:reason:)``
  public init(merging matrices: [ImportanceMatrix]) throws(ImatrixError) {
    precondition(!matrices.isEmpty)
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
}
