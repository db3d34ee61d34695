import Foundation
import Tensors

/// The element types of safetensors that hold weights.
enum SourceElement: String, Sendable, Hashable, CaseIterable {
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"

  var bytes: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    }
  }

  var type: GGMLType {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    }
  }
}

/// A tensor as a safetensors file holds it.
struct StoredTensor: Sendable {
  let name: String
  let element: SourceElement
  /// In the file's order: the last dimension is contiguous.
  let shape: [Int]
  let file: PositionedFile
  /// Absolute byte offset of the first element.
  let offset: Int

  var columns: Int { shape.last ?? 1 }
  var rows: Int { shape.dropLast().reduce(1, *) }
  var rowBytes: Int { columns * element.bytes }
}

/// One safetensors file: u64 length of the header, a JSON header, the tensors' bytes without holes.
///
/// Checked before use: the header's length against the file; every dtype, shape and byte range against each other; that
/// ranges neither overlap nor leave holes.
struct Safetensors: Sendable {
  let tensors: [StoredTensor]

  private struct Entry: Decodable {
    let dtype: String
    let shape: [Int]
    let data_offsets: [Int]
  }

  /// What the format's own reference reader allows.
  private static let longestHeader = 100_000_000

  init(path: String) throws {
    let file = try PositionedFile(path: path)
    guard file.size >= 8 else {
      throw CheckpointError(path: path, "has \(file.size) bytes, too few for a safetensors header")
    }
    let length = try file.bytes(in: 0..<8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= UInt64(min(file.size - 8, Self.longestHeader)) else {
      throw CheckpointError(
        path: path, offset: 0, "says that its header has \(length) bytes; the file has \(file.size)",
        hint: "the file is truncated, or is no safetensors file")
    }
    let start = 8 + Int(length)
    let entries = try Self.entries(try file.bytes(in: 8..<start), path: path)
    let tensors = try entries.map { name, entry in
      try Self.tensor(name, entry, file: file, start: start)
    }.sorted { ($0.offset, $0.name) < ($1.offset, $1.name) }
    var end = start
    for tensor in tensors {
      guard tensor.offset == end else {
        throw CheckpointError(
          path: path, subject: "tensor \(tensor.name)", offset: tensor.offset,
          tensor.offset < end ? "overlaps the tensor before it" : "leaves a hole of \(tensor.offset - end) bytes")
      }
      end += tensor.rows * tensor.rowBytes
    }
    guard end == file.size else {
      throw CheckpointError(path: path, offset: end, "has \(file.size - end) bytes that belong to no tensor")
    }
    self.tensors = tensors
  }

  private static func entries(_ header: [UInt8], path: String) throws -> [String: Entry] {
    struct Header: Decodable {
      var entries: [String: Entry] = [:]

      private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
      }

      init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        for key in container.allKeys where key.stringValue != "__metadata__" {
          entries[key.stringValue] = try container.decode(Entry.self, forKey: key)
        }
      }
    }
    do {
      return try JSONDecoder().decode(Header.self, from: Data(header)).entries
    } catch DecodingError.keyNotFound(_, let context), DecodingError.typeMismatch(_, let context),
      DecodingError.valueNotFound(_, let context)
    {
      let name = context.codingPath.first.map { "tensor \($0.stringValue)" }
      throw CheckpointError(path: path, subject: name, "lacks dtype, shape or data_offsets of the right kind")
    } catch {
      throw CheckpointError(path: path, offset: 8, "has a header that is no valid JSON")
    }
  }

  private static func tensor(_ name: String, _ entry: Entry, file: PositionedFile, start: Int) throws -> StoredTensor {
    func failure(_ reason: String, hint: String? = nil) -> CheckpointError {
      CheckpointError(path: file.path, subject: "tensor \(name)", reason, hint: hint)
    }
    guard let element = SourceElement(rawValue: entry.dtype) else {
      let known = SourceElement.allCases.map(\.rawValue).joined(separator: ", ")
      throw failure("has the unknown dtype \(entry.dtype)", hint: "known: \(known)")
    }
    guard entry.data_offsets.count == 2, 0 <= entry.data_offsets[0], entry.data_offsets[0] <= entry.data_offsets[1],
      entry.data_offsets[1] <= file.size - start
    else {
      throw failure(
        "lies at \(entry.data_offsets), beyond the file's \(file.size - start) bytes of data",
        hint: "the file is truncated: download it again")
    }
    let dimensions = entry.shape.isEmpty ? [1] : entry.shape
    guard let shape = Shape(dimensions.reversed()), let bytes = shape.bytes(as: element.type),
      bytes == entry.data_offsets[1] - entry.data_offsets[0]
    else {
      throw failure(
        "has shape \(entry.shape) of \(entry.dtype), which is not \(entry.data_offsets[1] - entry.data_offsets[0]) bytes"
      )
    }
    return StoredTensor(
      name: name, element: element, shape: dimensions, file: file, offset: start + entry.data_offsets[0])
  }
}

/// All tensors of a checkpoint: one safetensors file, or an index with shards.
struct SafetensorsSet: Sendable {
  let path: String
  private let tensors: [String: StoredTensor]

  init(directory: String) throws {
    let index = directory + "/model.safetensors.index.json"
    let single = directory + "/model.safetensors"
    let exists = FileManager.default.fileExists(atPath:)
    if exists(single) {
      path = single
      tensors = Dictionary(uniqueKeysWithValues: try Safetensors(path: single).tensors.map { ($0.name, $0) })
      return
    }
    guard exists(index) else {
      throw CheckpointError(
        .missing, path: directory, "holds neither model.safetensors nor model.safetensors.index.json",
        hint: "MODEL is a directory as published on Hugging Face, or a GGUF file")
    }
    path = index
    guard let map = try JSONValue.read(index)["weight_map"]?.object else {
      throw CheckpointError(path: index, subject: "key weight_map", "is missing")
    }
    let places = try map.mapValues { value throws -> String in
      // A name with a slash would lead out of the directory.
      guard let name = value.string, !name.contains("/"), name != "..", name.hasSuffix(".safetensors") else {
        throw CheckpointError(path: index, subject: "key weight_map", "names a shard that is no safetensors file here")
      }
      return name
    }
    var tensors: [String: StoredTensor] = [:]
    for shard in Set(places.values).sorted() {
      let file = directory + "/" + shard
      guard exists(file) else {
        throw CheckpointError(
          .missing, path: file, "is named in model.safetensors.index.json and is not there",
          hint: "the download is incomplete")
      }
      for tensor in try Safetensors(path: file).tensors where places[tensor.name] == shard {
        tensors[tensor.name] = tensor
      }
    }
    for (name, shard) in places.sorted(by: { $0.key < $1.key }) where tensors[name] == nil {
      throw CheckpointError(
        path: index, subject: "tensor \(name)", "is said to be in \(shard), which does not hold it",
        hint: "the download is incomplete, or index and shards are of different versions")
    }
    self.tensors = tensors
  }

  subscript(name: String) -> StoredTensor? { tensors[name] }
  var names: [String] { tensors.keys.sorted() }
}
