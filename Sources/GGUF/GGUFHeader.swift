import Files
import OrderedCollections
import Tensors

/// The validated header of a GGUF file: everything before the tensor data.
///
/// Layout (little-endian): magic `GGUF`, u32 version (2 or 3), u64 number of tensors, u64 number of keys; the keys and
/// values; for each tensor its name, u32 number of dimensions, u64 dimensions (contiguous first), u32 type, u64 offset
/// into the data; padding to `general.alignment` (32); the data.
public struct GGUFHeader: Sendable {
  /// The version of the format, 2 or 3.
  package let version: UInt32
  /// The keys and values, in file order.
  public let metadata: Metadata
  /// The tensors, in file order.
  public let tensors: [TensorInfo]
  /// Byte offsets of the tensors' data in the file, in the order of ``tensors``.
  package let offsets: [Int]
  package let alignment: Int
  /// The byte offset of the first tensor's data.
  package let dataOffset: Int

  /// The maximum number of tensors and of keys. R1 has 1,025 tensors; a header has about 50 keys.
  private static let entryMaximum = 1 << 20

  /// Reads the header of a file.
  ///
  /// - Parameter headerOnly: accepts a file whose tensor data is missing, such as the beginning of a download.
  /// - Throws: `FormatError` where the header is malformed, `FileError`.
  public init(file: PositionedFile, headerOnly: Bool = false) throws {
    try self.init(path: file.path, size: file.size, headerOnly: headerOnly) { range throws in
      try file.bytes(in: range)
    }
  }

  /// Reads a header from memory.
  ///
  /// - Parameters:
  ///   - path: the path in errors.
  ///   - headerOnly: accepts bytes without tensor data.
  /// - Throws: `FormatError` where the header is malformed.
  public init(bytes: [UInt8], path: String, headerOnly: Bool = false) throws {
    try self.init(path: path, size: bytes.count, headerOnly: headerOnly) { Array(bytes[$0]) }
  }

  private init(
    path: String, size: Int, headerOnly: Bool, fetch: @escaping (Range<Int>) throws -> [UInt8]
  ) throws {
    var reader = HeaderReader(path: path, limit: size, fetch: fetch)
    let magic = try reader.bytes(4, of: nil)
    guard magic.elementsEqual("GGUF".utf8) else {
      if let foreign = ForeignFile(try fetch(0..<min(size, ForeignFile.length))) {
        throw FormatError(path: path, "is \(foreign.noun), not a GGUF file", hint: foreign.hint)
      }
      throw FormatError(path: path, offset: 0, "is not a GGUF file: it does not begin with the letters GGUF")
    }
    version = try reader.integer(UInt32.self, of: "version")
    guard version == 2 || version == 3 else {
      let swapped = version.byteSwapped == 2 || version.byteSwapped == 3
      throw FormatError(
        path: path, offset: 4, swapped ? "is a big-endian GGUF" : "has version \(version); supported are 2 and 3")
    }
    let tensorCount = try reader.count(elementWidth: 24, of: "tensor count")
    let keyCount = try reader.count(elementWidth: 13, of: "key count")
    guard tensorCount <= Self.entryMaximum, keyCount <= Self.entryMaximum else {
      throw FormatError(
        path: path, offset: 8, "has \(tensorCount) tensors and \(keyCount) keys, more than \(Self.entryMaximum)")
    }

    var metadata = Metadata(minimumCapacity: keyCount)
    for index in 0..<keyCount {
      let start = reader.offset
      let key = try reader.string(of: "key number \(index)")
      guard metadata[key] == nil else { throw reader.failure("key \(key)", "appears twice", at: start) }
      metadata[key] = try reader.value(of: "key \(key)")
    }
    self.metadata = metadata
    alignment = try Self.alignment(metadata, path: path)

    var tensors: [TensorInfo] = []
    var relative: [UInt64] = []
    var names = Set<String>()
    var weights = 0
    for index in 0..<tensorCount {
      let start = reader.offset
      let (tensor, offset) = try Self.tensor(&reader, index: index)
      guard names.insert(tensor.name).inserted else {
        throw reader.failure("tensor \(tensor.name)", "appears twice", at: start)
      }
      // With `headerOnly` the size of the file is no bound.
      guard tensor.shape.count <= Shape.modelMaximum - weights else {
        throw reader.failure(
          "tensor \(tensor.name)", "brings the model to more than \(Shape.modelMaximum) weights", at: start)
      }
      weights += tensor.shape.count
      tensors.append(tensor)
      relative.append(offset)
    }
    self.tensors = tensors
    dataOffset = aligned(reader.offset, to: alignment)
    offsets = try Self.absoluteOffsets(
      tensors, relative, dataOffset: dataOffset, alignment: alignment, size: headerOnly ? Int.max : size, path: path)
  }

  private static func alignment(_ metadata: Metadata, path: String) throws -> Int {
    guard let value = metadata["general.alignment"] else { return defaultAlignment }
    if let fault = value.alignmentFault { throw FormatError(path: path, subject: "key general.alignment", fault) }
    return metadata.optionalInt("general.alignment") ?? defaultAlignment
  }

  private static func tensor(_ reader: inout HeaderReader, index: Int) throws -> (TensorInfo, UInt64) {
    let name = try reader.string(of: "tensor number \(index)")
    let subject = "tensor \(name)"
    let start = reader.offset
    let rank = try reader.integer(UInt32.self, of: subject)
    guard (1...4).contains(rank) else { throw reader.failure(subject, "has \(rank) dimensions", at: start) }
    var dimensions: [Int] = []
    for _ in 0..<rank {
      dimensions.append(Int(clamping: try reader.integer(UInt64.self, of: subject)))
    }
    guard let shape = Shape(dimensions) else {
      throw reader.failure(subject, "has the impossible shape \(dimensions)", at: start)
    }
    let typeOffset = reader.offset
    let rawType = try reader.integer(UInt32.self, of: subject)
    guard let type = GGMLType(rawValue: rawType) else {
      let known: [UInt32: String] = [40: "NVFP4", 41: "Q1_0", 42: "Q2_0"]
      if let name = known[rawType] {
        throw reader.failure(
          subject, "has the type \(name), which is not supported",
          hint: "use the model that the file was made of", at: typeOffset)
      }
      throw reader.failure(
        subject, "has the unknown type \(rawType)", hint: "types of other forks can't be read", at: typeOffset)
    }
    guard shape.columns % type.blockLength == 0 else {
      throw reader.failure(
        subject, "has rows of \(shape.columns) elements, not whole \(type) blocks", at: start)
    }
    guard shape.bytes(as: type) != nil else {
      throw reader.failure(subject, "has the impossible shape \(shape) as \(type)", at: start)
    }
    return (TensorInfo(name: name, shape: shape, type: type), try reader.integer(UInt64.self, of: subject))
  }

  /// File offsets of the tensors' data. Throws where one is not aligned or data is outside of the file or overlaps.
  private static func absoluteOffsets(
    _ tensors: [TensorInfo], _ relative: [UInt64], dataOffset: Int, alignment: Int, size: Int, path: String
  ) throws -> [Int] {
    func failure(_ index: Int, _ reason: String, hint: String? = nil) -> FormatError {
      FormatError(path: path, subject: "tensor \(tensors[index].name)", reason, hint: hint)
    }
    let offsets = try relative.enumerated().map { index, raw -> Int in
      guard raw % UInt64(alignment) == 0 else {
        throw failure(index, "begins at \(raw), which is not a multiple of \(alignment)")
      }
      let (absolute, overflow) = Int(clamping: raw).addingReportingOverflow(dataOffset)
      let bytes = tensors[index].shape.bytes(as: tensors[index].type) ?? 0
      let (end, endOverflow) = absolute.addingReportingOverflow(bytes)
      guard !overflow, !endOverflow, end <= size else {
        throw failure(
          index, "begins at byte \(absolute) and needs \(bytes) bytes, beyond the file's end at \(size)",
          hint: "the file is truncated: download it again")
      }
      return absolute
    }
    let order = offsets.indices.sorted { offsets[$0] < offsets[$1] }
    for (one, next) in zip(order, order.dropFirst()) {
      let end = offsets[one] + (tensors[one].shape.bytes(as: tensors[one].type) ?? 0)
      guard end <= offsets[next] || tensors[one].shape.count == 0 else {
        throw failure(next, "overlaps tensor \(tensors[one].name)")
      }
    }
    return offsets
  }
}

extension MetadataValue {
  /// The reason why this can't be the value of `general.alignment`, as a predicate; nil where it can.
  public var alignmentFault: String? {
    guard case .uint32(let alignment) = self, alignment > 0, alignment & (alignment - 1) == 0, alignment <= 1 << 20
    else { return "is \(self), not a power of two up to 1048576 as a u32" }
    return nil
  }
}

/// The alignment in bytes of a file without `general.alignment`.
public let defaultAlignment = 32

func aligned(_ offset: Int, to alignment: Int) -> Int { (offset + alignment - 1) / alignment * alignment }
