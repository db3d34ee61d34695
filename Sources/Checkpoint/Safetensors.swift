import Files
import Foundation

/// One safetensors file: u64 length of the header, a JSON header, the tensors' bytes without holes.
///
/// Checked before use: the header's length against the file; every dtype, shape and byte range against each other; that
/// ranges neither overlap nor leave holes.
package struct Safetensors: Sendable {
  let tensors: [StoredTensor]

  private struct Entry: Decodable {
    let dtype: String
    let shape: [Int]
    let data_offsets: [Int]
  }

  /// What the format's own reference reader allows.
  private static let longestHeader = 100_000_000

  package init(path: String) throws {
    let file = try PositionedFile(path: path)
    guard file.size >= 8 else {
      throw CheckpointError(path: path, "has \(file.size) bytes, too few for a safetensors header")
    }
    let beginning = try file.bytes(in: 0..<8)
    let length = UInt64(littleEndian: beginning)
    guard length <= UInt64(min(file.size - 8, Self.longestHeader)) else {
      // What a clone without Git LFS holds in the place of large files begins so.
      let isPointer = beginning == Array("version ".utf8)
      throw CheckpointError(
        path: path, offset: 0, "says that its header has \(length) bytes; the file has \(file.size)",
        hint: isPointer
          ? "it is Git LFS's pointer to the file: run git lfs pull"
          : "the file is truncated, or is no safetensors file")
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
      let known = SourceElement.weights.map(\.rawValue).joined(separator: ", ")
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
    guard let count = elementCount(dimensions), count <= file.size,
      count * element.bytes == entry.data_offsets[1] - entry.data_offsets[0]
    else {
      throw failure(
        "has shape \(entry.shape) of \(entry.dtype), which is not \(entry.data_offsets[1] - entry.data_offsets[0]) bytes"
      )
    }
    return StoredTensor(
      name: name, element: element, shape: dimensions, file: file, offset: start + entry.data_offsets[0])
  }

  /// The product of the extents; nil where one is negative or a product overflows, of bytes too and even where others
  /// are 0.
  private static func elementCount(_ dimensions: [Int]) -> Int? {
    var product = 8
    for dimension in dimensions {
      let (next, overflow) = product.multipliedReportingOverflow(by: max(1, dimension))
      guard dimension >= 0, !overflow else { return nil }
      product = next
    }
    return dimensions.contains(0) ? 0 : product / 8
  }
}
