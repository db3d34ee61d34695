import GGUF
import Tensors

/// Exact sums of squared activations by tensor, which can be added to those of other tokens in any order.
public struct ImportanceSums: Sendable, Equatable {
  /// The sums of the tensors that are multiplied by one input.
  struct Entry: Sendable, Equatable {
    /// [matrices, columns]
    var sums: SquareSums
    /// Numbers of tokens: one for the tensor, or one per expert of a stack.
    var counts: [Double]
  }

  /// Entries by the names of the tensors.
  private(set) var byTensors: [[String]: Entry] = [:]

  /// Sums of nothing.
  public init() {}

  /// Changes the entry of some tensors, which is created with `count` sums and `counts` counts.
  mutating func update(
    _ tensors: [String], count: Int, counts: Int, _ change: (inout Entry) throws -> Void
  ) rethrows {
    var entry =
      byTensors.removeValue(forKey: tensors)
      ?? Entry(sums: SquareSums(count: count), counts: [Double](repeating: 0, count: counts))
    try change(&entry)
    byTensors[tensors] = entry
  }

  /// Adds the sums of other tokens of the same model.
  ///
  /// - Throws: ``ImatrixError/unmergeable(tensor:reason:)``
  public mutating func add(_ other: ImportanceSums) throws(ImatrixError) {
    for (tensors, entry) in other.byTensors {
      guard var sum = byTensors[tensors] else {
        byTensors[tensors] = entry
        continue
      }
      guard sum.sums.count == entry.sums.count, sum.counts.count == entry.counts.count else {
        throw .unmergeable(
          tensor: tensors.first ?? "", reason: "has \(sum.sums.count) and \(entry.sums.count) columns")
      }
      sum.sums.add(entry.sums)
      for index in sum.counts.indices { sum.counts[index] += entry.counts[index] }
      byTensors[tensors] = sum
    }
  }

  /// The sums in single precision, by tensor.
  var entries: [String: ImportanceMatrix.Entry] {
    var entries: [String: ImportanceMatrix.Entry] = [:]
    for (names, entry) in byTensors {
      let rounded = ImportanceMatrix.Entry(sums: entry.sums.values, counts: entry.counts.map(Float.init))
      for name in names { entries[name] = rounded }
    }
    return entries
  }

  /// The importance of all tokens.
  ///
  /// - Parameter datasets: paths or names of texts.
  public func matrix(datasets: [String], chunkCount: Int, chunkSize: Int) -> ImportanceMatrix {
    ImportanceMatrix(entries: entries, datasets: datasets, chunkCount: chunkCount, chunkSize: chunkSize)
  }
}

/// The file of sums: a GGUF of `general.type` = "imatrix-sums". Per input, a tensor `<index>.sums` F64
/// [columns, 2], coarse and fine (``SquareSums``), a tensor `<index>.counts` F64, and the key `<index>.tensors` with the
/// names.
extension ImportanceSums {
  /// Reads a file.
  ///
  /// - Throws: ``ImatrixError``, `FormatError` or `FileError`
  public init(path: String) throws {
    let file = try GGUFFile(path: path)
    func fail(_ reason: String) -> ImatrixError { .malformed(file: file.name, reason: reason) }
    guard file.metadata.optionalString("general.type") == "imatrix-sums" else {
      throw fail("is a GGUF without sums of importance")
    }
    self.init()
    for sums in file.tensors where sums.name.hasSuffix(".sums") {
      let index = sums.name.dropLast(".sums".count)
      guard let names = file.metadata.optionalStrings("\(index).tensors"), !names.isEmpty,
        let counts = file.tensor(named: "\(index).counts"), sums.type == .f64, counts.type == .f64,
        sums.shape.rows == 2, counts.shape.rows == 1, sums.shape.columns % counts.shape.columns == 0
      else { throw fail("tensor '\(sums.name)' is not a sum of importance") }
      let values = try file.doubles(sums)
      let numbers = try file.doubles(counts)
      guard (values + numbers).allSatisfy({ $0.isFinite }), numbers.allSatisfy({ $0 >= 0 }) else {
        throw ImatrixError.notANumber(file: file.name, tensor: names[0])
      }
      let width = sums.shape.columns
      byTensors[names] = Entry(
        sums: SquareSums(coarse: Array(values[..<width]), fine: Array(values[width...])), counts: numbers)
    }
  }

  /// Writes the file. Its bytes depend on the sums alone.
  ///
  /// - Throws: `FormatError` or `FileError`
  public func write(to path: String, overwrite: Bool) throws {
    let sorted = byTensors.sorted { $0.key.joined(separator: "\n") < $1.key.joined(separator: "\n") }
    var metadata: Metadata = ["general.type": .string("imatrix-sums")]
    var tensors: [TensorInfo] = []
    var contents: [[Double]] = []
    for (index, (names, entry)) in sorted.enumerated() {
      metadata["\(index).tensors"] = .array(.string(names))
      tensors.append(TensorInfo(name: "\(index).sums", shape: Shape([entry.sums.count, 2])!, type: .f64))
      contents.append(entry.sums.coarse + entry.sums.fine)
      tensors.append(TensorInfo(name: "\(index).counts", shape: Shape([entry.counts.count])!, type: .f64))
      contents.append(entry.counts)
    }
    let writer = try GGUFWriter(
      path: path, layout: GGUFLayout(metadata: metadata, tensors: tensors), overwrite: overwrite)
    for (index, values) in contents.enumerated() { try writer.write(values.span.bytes, tensor: index, row: 0) }
    try writer.commit()
  }
}

extension ModelSource {
  /// Reads all elements of an F64 tensor.
  fileprivate func doubles(_ tensor: TensorInfo) throws -> [Double] {
    var values = [Double](repeating: 0, count: tensor.shape.count)
    var span = values.mutableSpan
    var bytes = span.mutableBytes
    try readBytes(of: tensor, rows: 0..<tensor.shape.rows, into: &bytes)
    return values
  }
}
