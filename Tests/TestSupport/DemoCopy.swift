import Foundation

/// A copy of the demo model that a test may damage.
public struct DemoCopy {
  public let directory: TemporaryDirectory
  public var path: String { directory.url.path }

  public init() throws {
    directory = try TemporaryDirectory()
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
      try FileManager.default.copyItem(
        atPath: Repository.demoModel + "/" + name, toPath: directory.path(name))
    }
  }

  /// Replaces text in a file, which must hold it.
  public func replace(_ old: String, by new: String, in name: String) throws {
    let url = directory.url.appending(path: name)
    let text = try String(contentsOf: url, encoding: .utf8)
    guard text.contains(old) else { throw CocoaError(.formatting) }
    try text.replacing(old, with: new).write(to: url, atomically: true, encoding: .utf8)
  }

  /// Rewrites the header of model.safetensors, keeping the tensors' bytes; `length` overrides what is said of it.
  public func rewriteHeader(length: UInt64? = nil, _ change: (String) -> String = { $0 }) throws {
    let url = directory.url.appending(path: "model.safetensors")
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
