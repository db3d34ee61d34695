import Files
import Foundation

/// A safetensors file: the header's length (u64), a JSON header, the tensors' bytes without holes.
///
/// Checked before use: the header fits the file, names are unique, dtype, shape and byte range of each tensor agree,
/// and ranges neither overlap nor leave holes.
package struct Safetensors: Sendable {
  /// In the order of their bytes.
  package let tensors: [StoredTensor]
  /// The header's `__metadata__`.
  let metadata: [String: String]

  package init(path: String) throws {
    let file = try PositionedFile(path: path)
    let beginning = try file.bytes(in: 0..<min(file.size, ForeignFile.length))
    guard file.size >= 8 else {
      throw FormatError(
        path: path, "has \(file.size) bytes, too few for a safetensors header",
        hint: "the download is incomplete: download it again")
    }
    let length = UInt64(littleEndian: beginning.prefix(8))
    if let foreign = ForeignFile(beginning), foreign != .safetensors {
      throw FormatError(path: path, "is \(foreign.noun), not a safetensors file", hint: foreign.hint)
    }
    guard length <= UInt64(min(file.size - 8, SafetensorsHeader.maximumLength)) else {
      throw FormatError(
        path: path, offset: 0, "says that its header has \(length) bytes; the file has \(file.size)",
        hint: "the file is truncated, or is not a safetensors file")
    }
    let start = 8 + Int(length)
    let header = try SafetensorsHeader(path: path, bytes: try file.bytes(in: 8..<start))
    let tensors = try header.entries.map { try Self.tensor($0, file: file, start: start) }
      // An empty tensor has the same offset as the next tensor.
      .sorted { ($0.offset, $0.end, $0.name) < ($1.offset, $1.end, $1.name) }
    var end = start
    for tensor in tensors {
      guard tensor.offset == end else {
        throw FormatError(
          path: path, subject: "tensor \(tensor.name)", offset: tensor.offset,
          tensor.offset < end ? "overlaps the tensor before it" : "leaves a hole of \(tensor.offset - end) bytes")
      }
      end = tensor.end
    }
    guard end == file.size else {
      throw FormatError(path: path, offset: end, "has \(file.size - end) bytes that belong to no tensor")
    }
    self.tensors = tensors
    metadata = header.metadata
  }

  private static func tensor(
    _ entry: SafetensorsHeader.Entry, file: PositionedFile, start: Int
  ) throws -> StoredTensor {
    func failure(_ reason: String, hint: String? = nil) -> FormatError {
      FormatError(path: file.path, subject: "tensor \(entry.name)", reason, hint: hint)
    }
    guard let element = SourceElement(rawValue: entry.dtype) else {
      let known = SourceElement.weights.map(\.rawValue).joined(separator: ", ")
      throw failure("has the unknown dtype \(entry.dtype)", hint: "known: \(known)")
    }
    guard 0 <= entry.offsets[0], entry.offsets[0] <= entry.offsets[1], entry.offsets[1] <= file.size - start else {
      throw failure(
        "has byte range \(entry.offsets), beyond the file's \(file.size - start) bytes of data",
        hint: "the file is truncated: download it again")
    }
    let dimensions = entry.shape.isEmpty ? [1] : entry.shape
    let byteCount = entry.offsets[1] - entry.offsets[0]
    guard let count = elementCount(dimensions), count <= 8 * file.size, count * element.bits == 8 * byteCount else {
      throw failure("has shape \(entry.shape) of \(entry.dtype), which is not \(byteCount) bytes")
    }
    return StoredTensor(
      name: entry.name, element: element, shape: dimensions, file: file, offset: start + entry.offsets[0],
      byteCount: byteCount)
  }

  /// The product of the extents; nil if one is negative or the number of bits overflows, even if another extent is 0.
  private static func elementCount(_ dimensions: [Int]) -> Int? {
    var product = 64
    for dimension in dimensions {
      let (next, overflow) = product.multipliedReportingOverflow(by: max(1, dimension))
      guard dimension >= 0, !overflow else { return nil }
      product = next
    }
    return dimensions.contains(0) ? 0 : product / 64
  }
}
