import Foundation

/// The content of a safetensors file, for tests that change it. Independent of the module under test.
public struct SafetensorsContent {
  public struct Tensor {
    public var dtype: String
    public var shape: [Int]
    public var bytes: [UInt8]

    public init(dtype: String, shape: [Int], bytes: [UInt8]) {
      self.dtype = dtype
      self.shape = shape
      self.bytes = bytes
    }

    /// A tensor of floats: F64, F32, F16 or BF16 (by truncation).
    public init(_ values: [Double], dtype: String, shape: [Int]) {
      func bytes<T: FixedWidthInteger>(_ bits: (Double) -> T) -> [UInt8] {
        values.flatMap { withUnsafeBytes(of: bits($0).littleEndian, Array.init) }
      }
      let content =
        switch dtype {
        case "F64": bytes { $0.bitPattern }
        case "F32": bytes { Float($0).bitPattern }
        case "F16": bytes { Float16($0).bitPattern }
        case "BF16": bytes { UInt16(Float($0).bitPattern >> 16) }
        default: preconditionFailure(dtype)
        }
      self.init(dtype: dtype, shape: shape, bytes: content)
    }

    /// The elements of an F64, F32, F16 or BF16 tensor.
    public var values: [Double] {
      func values<T: FixedWidthInteger>(_: T.Type, _ value: (T) -> Double) -> [Double] {
        bytes.withUnsafeBytes { buffer in
          stride(from: 0, to: buffer.count, by: MemoryLayout<T>.size).map {
            value(T(littleEndian: buffer.loadUnaligned(fromByteOffset: $0, as: T.self)))
          }
        }
      }
      return switch dtype {
      case "F64": values(UInt64.self) { Double(bitPattern: $0) }
      case "F32": values(UInt32.self) { Double(Float(bitPattern: $0)) }
      case "F16": values(UInt16.self) { Double(Float16(bitPattern: $0)) }
      case "BF16": values(UInt16.self) { Double(Float(bitPattern: UInt32($0) << 16)) }
      default: preconditionFailure(dtype)
      }
    }

    /// The same numbers in another type.
    public func converted(to dtype: String) -> Tensor { Tensor(values, dtype: dtype, shape: shape) }
  }

  /// Names in bytewise order.
  public private(set) var names: [String] = []
  private var tensors: [String: Tensor] = [:]
  public var metadata: [String: String] = ["format": "pt"]

  public init() {}

  public init(path: String) throws {
    let data = try Data(contentsOf: URL(filePath: path))
    let size = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    guard let header = try JSONSerialization.jsonObject(with: data[8..<8 + size]) as? [String: [String: Any]] else {
      throw CocoaError(.formatting)
    }
    metadata = header["__metadata__"] as? [String: String] ?? [:]
    let entries = header.filter { $0.key != "__metadata__" }.map { name, entry in
      (
        name, entry["dtype"] as? String ?? "", entry["shape"] as? [Int] ?? [],
        entry["data_offsets"] as? [Int] ?? [0, 0]
      )
    }
    for (name, dtype, shape, range) in entries.sorted(by: { ($0.3[0], $0.3[1], $0.0) < ($1.3[0], $1.3[1], $1.0) }) {
      self[name] = Tensor(dtype: dtype, shape: shape, bytes: Array(data[8 + size + range[0]..<8 + size + range[1]]))
    }
  }

  /// New tensors are appended.
  public subscript(name: String) -> Tensor? {
    get { tensors[name] }
    set {
      if newValue == nil { names.removeAll { $0 == name } } else if tensors[name] == nil { names.append(name) }
      tensors[name] = newValue
    }
  }

  public mutating func rename(_ name: String, to other: String) {
    let tensor = tensors[name]
    self[name] = nil
    self[other] = tensor
  }

  public func write(to path: String) throws {
    var header = ["\"__metadata__\":" + String(decoding: try JSONEncoder().encode(metadata), as: UTF8.self)]
    var offset = 0
    var data = Data()
    for name in names {
      guard let tensor = tensors[name] else { continue }
      let end = offset + tensor.bytes.count
      header.append(
        #""\#(name)":{"dtype":"\#(tensor.dtype)","shape":\#(tensor.shape),"data_offsets":[\#(offset),\#(end)]}"#)
      data.append(contentsOf: tensor.bytes)
      offset = end
    }
    let text = "{" + header.joined(separator: ",") + "}"
    var file = Data(withUnsafeBytes(of: UInt64(text.utf8.count).littleEndian, Array.init))
    file.append(contentsOf: text.utf8)
    file.append(data)
    try file.write(to: URL(filePath: path))
  }
}

extension DemoCopy {
  /// Changes the tensors of a safetensors file.
  public func edit(_ name: String = "model.safetensors", _ change: (inout SafetensorsContent) throws -> Void) throws {
    var content = try SafetensorsContent(path: directory.path(name))
    try change(&content)
    try content.write(to: directory.path(name))
  }
}
