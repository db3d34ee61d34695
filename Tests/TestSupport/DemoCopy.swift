import Foundation

/// A copy of a Hugging Face model, such as the demo model, that a test may change.
public struct DemoCopy {
  public let directory: TemporaryDirectory
  public var path: String { directory.url.path }

  public init() throws {
    try self.init(
      ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"].map {
        URL(filePath: Repository.demoModel).appending(path: $0)
      })
  }

  /// Copies files into a new folder.
  public init(_ files: [URL]) throws {
    directory = try TemporaryDirectory()
    for file in files {
      try FileManager.default.copyItem(at: file, to: directory.url.appending(path: file.lastPathComponent))
    }
  }

  /// Replaces text in a file, which must contain it.
  public func replace(_ old: String, by new: String, in name: String) throws {
    let url = directory.url.appending(path: name)
    let text = try String(contentsOf: url, encoding: .utf8)
    guard text.contains(old) else { throw CocoaError(.formatting) }
    try text.replacing(old, with: new).write(to: url, atomically: true, encoding: .utf8)
  }

  /// Replaces, adds or (with nil) removes a key of a JSON file.
  public func set(_ key: String, _ value: Any?, in name: String = "config.json") throws {
    let url = directory.url.appending(path: name)
    guard var root = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any] else {
      throw CocoaError(.formatting)
    }
    root[key] = value
    try JSONSerialization.data(withJSONObject: root).write(to: url)
  }

  /// Rewrites the header of a safetensors file and keeps the tensors' bytes. `length` overrides the length of the header.
  public func rewriteHeader(
    of name: String = "model.safetensors", length: UInt64? = nil, _ change: (String) -> String = { $0 }
  ) throws {
    let url = directory.url.appending(path: name)
    let data = try Data(contentsOf: url)
    let size = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = change(String(decoding: data[8..<8 + size], as: UTF8.self))
    var result = Data()
    withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian) { result.append(contentsOf: $0) }
    result.append(contentsOf: header.utf8)
    result.append(data[(8 + size)...])
    try result.write(to: url)
  }

  public func truncate(_ name: String, to size: Int) throws {
    let url = directory.url.appending(path: name)
    try Data(contentsOf: url).prefix(size).write(to: url)
  }
}

extension DemoCopy {
  /// Changes the bits of every weight (F16).
  public func changeHalves(_ change: (UInt16) -> UInt16) throws {
    let url = directory.url.appending(path: "model.safetensors")
    var bytes = Array(try Data(contentsOf: url))
    let size = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    for offset in stride(from: 8 + size, to: bytes.count - 1, by: 2) {
      let changed = change(UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8)
      (bytes[offset], bytes[offset + 1]) = (UInt8(truncatingIfNeeded: changed), UInt8(changed >> 8))
    }
    try Data(bytes).write(to: url)
  }

  /// Makes the first weight of a tensor NaN: an F16, or the bytes of `nan`.
  public func poison(_ tensor: String, nan: [UInt8] = [0x00, 0x7E]) throws {
    let url = directory.url.appending(path: "model.safetensors")
    var data = try Data(contentsOf: url)
    let size = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = String(decoding: data[8..<8 + size], as: UTF8.self)
    guard let entry = header.range(of: "\"\(tensor)\":"),
      let offsets = header[entry.upperBound...].firstMatch(of: /"data_offsets":\[(\d+),/),
      let start = Int(offsets.1)
    else { throw CocoaError(.formatting) }
    data.replaceSubrange(8 + size + start..<8 + size + start + nan.count, with: nan)
    try data.write(to: url)
  }
}
