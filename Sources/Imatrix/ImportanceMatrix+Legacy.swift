import Files
import Tensors

/// The older format, little-endian: i32 entries; per entry i32 length, name, i32 calls, i32 values, f32 values = sum /
/// tokens x calls; then, in newer files, i32 chunks, i32 length, data set. If calls is 0, the values are used
/// unchanged, as in llama-quantize; nearly always they are zeros.
extension ImportanceMatrix {
  init(legacy file: PositionedFile) throws {
    var reader = LegacyReader(bytes: try file.bytes(in: 0..<file.size), file: Self.baseName(file.path))
    let count = try reader.integer("the number of entries")
    guard count > 0, count <= file.size / 12 else { throw reader.failure("is not an importance matrix") }
    var entries: [String: Entry] = [:]
    for index in 0..<count {
      let name = try reader.string("the name of entry \(index)")
      let calls = try reader.integer("the calls of '\(name)'")
      let values = try reader.floats("the values of '\(name)'")
      guard calls >= 0 else { throw reader.failure("'\(name)' has \(calls) calls") }
      guard values.allSatisfy({ $0.isFinite && $0 >= 0 }) else {
        throw ImatrixError.notANumber(file: reader.file, tensor: name)
      }
      let isEmpty = calls == 0 && !values.contains { $0 > 0 }
      let entry = Entry(sums: values, counts: [isEmpty ? 0 : Float(max(calls, 1))])
      guard entries.updateValue(entry, forKey: name) == nil else {
        throw reader.failure("'\(name)' appears twice")
      }
    }
    var chunks = 0
    var datasets: [String] = []
    if !reader.isAtEnd {
      chunks = try reader.integer("the number of chunks")
      if !reader.isAtEnd { datasets = [try reader.string("the data set")] }
    }
    self.init(entries: entries, datasets: datasets.filter { !$0.isEmpty }, chunkCount: chunks, chunkSize: 0)
  }

  /// Writes the older format. It has no tokens per expert and no tensors without tokens, so these are lost. Experts
  /// with few tokens get values drawn towards their layer's mean.
  ///
  /// - Throws: `FileError`
  public func write(legacy path: String, overwrite: Bool = false) throws {
    var writer = LegacyWriter()
    let written = names.filter { entries[$0]!.isInformative }
    writer.append(written.count)
    let chunk = max(1, chunkSize)
    for name in written {
      let entry = entries[name]!
      let width = entry.sums.count / entry.counts.count
      let maximum = entry.counts.max()!
      let calls = chunkSize == 0 ? Int(maximum) : (Int(maximum) + chunk - 1) / chunk
      writer.append(name)
      writer.append(calls)
      // The entry as a stack with one matrix per count.
      let shape = Shape([width, 1, entry.counts.count])!
      let means = importance(for: .init(name: name, shape: shape, type: .f32))!
      writer.append(means.map { $0 * Float(calls) })
    }
    writer.append(chunkCount)
    writer.append(datasets.last ?? "")
    let output = try OutputFile(path: path, overwrite: overwrite)
    try output.write(writer.bytes)
    try output.commit()
  }

  /// Converts the means of an old file to sums over windows of `size` tokens, so that it can be merged with other
  /// matrices.
  public func expanded(chunkSize size: Int) -> ImportanceMatrix {
    guard chunkSize == 0, size > 0 else { return self }
    var result = self
    for (name, entry) in entries {
      result.entries[name] = Entry(
        sums: entry.sums.map { $0 * Float(size) }, counts: entry.counts.map { $0 * Float(size) })
    }
    result.chunkSize = size
    return result
  }
}

private struct LegacyReader {
  private var reader: ByteReader
  let file: String

  init(bytes: [UInt8], file: String) {
    reader = ByteReader(bytes)
    self.file = file
  }

  var isAtEnd: Bool { reader.remaining == 0 }

  func failure(_ reason: String) -> ImatrixError { .malformed(file: file, reason: reason, offset: reader.offset) }

  mutating func integer(_ description: String) throws -> Int {
    guard let value = reader.integer(Int32.self) else { throw failure("the file ends in \(description)") }
    return Int(value)
  }

  mutating func string(_ description: String) throws -> String {
    let count = try integer(description)
    guard let bytes = reader.take(count) else { throw failure("\(description) is \(count) bytes long") }
    return String(stored: bytes)
  }

  mutating func floats(_ description: String) throws -> [Float] {
    let count = try integer(description)
    guard count > 0, let values = reader.integers(UInt32.self, count: count) else {
      throw failure("\(description) have the invalid count \(count)")
    }
    return values.map { Float(bitPattern: $0) }
  }
}

private struct LegacyWriter {
  private(set) var bytes: [UInt8] = []

  mutating func append(_ value: Int) { bytes.append(littleEndian: Int32(clamping: value)) }

  mutating func append(_ string: String) {
    let stored = string.storedBytes
    append(stored.count)
    bytes += stored
  }

  mutating func append(_ values: [Float]) {
    append(values.count)
    for value in values { bytes.append(littleEndian: value.bitPattern) }
  }
}
