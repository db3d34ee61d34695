import Files
import Tensors

/// The older form, little-endian: i32 entries; per entry i32 length, name, i32 calls, i32 values, f32 values = sum /
/// tokens x calls; then, in newer files, i32 chunks, i32 length, data set. With no calls the values are taken as they are,
/// as llama-quantize does; nearly always they are zeros, which say nothing.
extension ImportanceMatrix {
  init(legacy file: PositionedFile) throws {
    var reader = LegacyReader(bytes: try file.bytes(in: 0..<file.size), file: Self.baseName(file.path))
    let count = try reader.integer("the number of entries")
    guard count > 0, count <= file.size / 12 else { throw reader.failure("is no importance matrix") }
    var entries: [String: Entry] = [:]
    for index in 0..<count {
      let name = try reader.string("the name of entry \(index)")
      let calls = try reader.integer("the calls of '\(name)'")
      let values = try reader.floats("the values of '\(name)'")
      guard calls >= 0 else { throw reader.failure("'\(name)' was called \(calls) times") }
      guard values.allSatisfy({ $0.isFinite && $0 >= 0 }) else {
        throw ImatrixError.notANumber(file: reader.file, tensor: name)
      }
      let isEmpty = calls == 0 && !values.contains { $0 > 0 }
      let entry = Entry(sums: values, counts: [isEmpty ? 0 : Float(max(calls, 1))])
      guard entries.updateValue(entry, forKey: name) == nil else {
        throw reader.failure("'\(name)' stands twice")
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

  /// Writes the older form. What it can't say is lost: tokens per expert, and tensors that no token reached. Starved experts get their layer's mean.
  public func write(legacy path: String, overwrite: Bool = false) throws {
    var writer = LegacyWriter()
    let written = names.filter { entries[$0]!.saysSomething }
    writer.append(written.count)
    let chunk = max(1, chunkSize)
    for name in written {
      let entry = entries[name]!
      let width = entry.sums.count / entry.counts.count
      let most = entry.counts.max()!
      let calls = chunkSize == 0 ? Int(most) : (Int(most) + chunk - 1) / chunk
      writer.append(name)
      writer.append(calls)
      // Through the model-independent view of the entry: a row per count.
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

  /// An old file's means as sums and counts of tokens, so that it can be merged with others.
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

  mutating func integer(_ what: String) throws -> Int {
    guard let value = reader.integer(Int32.self) else { throw failure("the file ends in \(what)") }
    return Int(value)
  }

  mutating func string(_ what: String) throws -> String {
    let count = try integer(what)
    guard let bytes = reader.take(count) else { throw failure("\(what) is \(count) bytes long") }
    return String(stored: bytes)
  }

  mutating func floats(_ what: String) throws -> [Float] {
    let count = try integer(what)
    guard count > 0, let values = reader.integers(UInt32.self, count: count) else {
      throw failure("\(what) are \(count)")
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
