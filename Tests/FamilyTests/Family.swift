import Checkpoint
import Foundation
import GGUF
import TestSupport
import Testing

/// A small model of an architecture, with the results of the reference implementations. Fixtures/make.py makes them.
struct Family {
  let name: String
  let config: [String: Any]
  /// The shape of each stored tensor, and the offset and exponent of its values.
  private let stored: [String: (shape: [Int], offset: Int, exponent: Int)]
  /// GGUF's keys: the type, and the value or, of an array, its digest.
  let keys: [String: String]
  /// The converter's tensors: extents, the digest of their values in F32, and whether they are always F32.
  let tensors: [String: (dimensions: [Int], digest: String, isExact: Bool)]
  let tokens: [Int32]
  let logits: [Float]

  /// The positions whose logits are in the fixture, for the first tokens of the vocabulary.
  static let positions = [0, 3, 9, 15, 21, 27, 33, 39]
  static let columns = 64

  private static let folder = Repository.root.appending(path: "Tests/FamilyTests/Fixtures")

  static let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? [])
    .filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }.sorted()

  init(_ name: String) throws {
    self.name = name
    let url = Self.folder.appending(path: name + ".json")
    let root = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
    config = try #require(root["config"] as? [String: Any])
    stored = try #require(root["stored"] as? [String: [Any]]).mapValues {
      ($0[0] as? [Int] ?? [], $0[1] as? Int ?? 0, $0[2] as? Int ?? 0)
    }
    keys = try #require(root["keys"] as? [String: [Any]]).mapValues { $0.map { "\($0)" }.joined(separator: " ") }
    tensors = try #require(root["tensors"] as? [String: [Any]]).mapValues {
      ($0[0] as? [Int] ?? [], $0[1] as? String ?? "", $0.count > 2)
    }
    tokens = try #require(root["tokens"] as? [Int]).map(Int32.init)
    let data = try #require(Data(base64Encoded: root["logits"] as? String ?? ""))
    logits = data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
  }

  /// Writes the model to a folder of its name, which becomes `general.name`.
  func write(in directory: TemporaryDirectory, _ change: (inout [String: Any]) -> Void = { _ in }) throws -> String {
    let folder = directory.url.appending(path: name)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    var config = config
    change(&config)
    try JSONSerialization.data(withJSONObject: config).write(to: folder.appending(path: "config.json"))
    let tokenizer = Repository.root.appending(path: "Tests/CommandTests/Fixtures/reference/tokenizer")
    for file in try FileManager.default.contentsOfDirectory(at: tokenizer, includingPropertiesForKeys: nil) {
      try FileManager.default.copyItem(at: file, to: folder.appending(path: file.lastPathComponent))
    }
    var content = SafetensorsContent()
    for (name, form) in stored.sorted(by: { $0.key < $1.key }) {
      content[name] = SafetensorsContent.Tensor(
        dtype: "BF16", shape: form.shape,
        bytes: Self.values(name, form.shape, offset: form.offset, exponent: form.exponent))
    }
    try content.write(to: folder.appending(path: "model.safetensors").path)
    return folder.path
  }

  /// The values in BF16, which holds them exactly: a byte for each element, from splitmix64 of a hash (FNV-1a) of the name.
  private static func values(_ name: String, _ shape: [Int], offset: Int, exponent: Int) -> [UInt8] {
    let seed = name.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    let scale = Float(sign: .plus, exponent: -exponent, significand: 1)
    let count = shape.reduce(1, *)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(2 * count + 14)
    var state = seed
    while bytes.count < 2 * count {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      z ^= z >> 31
      for byte in 0..<8 {
        let step = Int(Int8(truncatingIfNeeded: z >> (8 * byte)))
        let value = Float(offset) + Float(offset == 0 ? step : step >> 2) * scale
        let bits = value.bitPattern >> 16
        bytes.append(UInt8(truncatingIfNeeded: bits))
        bytes.append(UInt8(truncatingIfNeeded: bits >> 8))
      }
    }
    return Array(bytes.prefix(2 * count))
  }
}
