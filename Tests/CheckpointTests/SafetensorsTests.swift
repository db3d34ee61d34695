import Checkpoint
import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// Valid contents of safetensors files, and errors that name invalid ones.
@Suite struct SafetensorsTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// Writes a file of this header and `count` bytes of data, and opens it.
  private func open(_ header: String, bytes count: Int) throws {
    var data = Data(withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init))
    data.append(contentsOf: header.utf8)
    data.append(Data(count: count))
    try data.write(to: directory.url.appending(path: "a"))
    _ = try Safetensors(path: directory.path("a"))
  }

  private static func entry(_ name: String, _ shape: String, _ range: String, dtype: String = "F32") -> String {
    #""\#(name)":{"dtype":"\#(dtype)","shape":\#(shape),"data_offsets":\#(range)}"#
  }

  /// An empty tensor has the offset of the next tensor, in any order of names.
  @Test(arguments: ["a", "m", "z"])
  func tensorsWithoutElements(name: String) throws {
    for range in ["[0,0]", "[8,8]", "[16,16]"] {
      let empty = [name + "1", name + "2"].map { Self.entry($0, "[0]", range) }
      let full = [Self.entry("k", "[2]", "[0,8]"), Self.entry("p", "[1,2]", "[8,16]")]
      try open("{" + (empty + full).joined(separator: ",") + "}", bytes: 16)
      try open("{" + (full + empty).joined(separator: ",") + "}", bytes: 16)
    }
  }

  @Test func emptyTensorInsideAnotherIsRefused() throws {
    let error = try #require(throws: FormatError.self) {
      try open("{\(Self.entry("k", "[2]", "[0,8]")),\(Self.entry("e", "[3,0]", "[4,4]"))}", bytes: 8)
    }
    #expect(error.subject == "tensor e" && error.reason == "overlaps the tensor before it")
  }

  /// Readers that take the first and readers that take the last would read different models. "\u006b" is k.
  @Test(arguments: [
    ("{ENTRY,ENTRY}", "tensor k"), (#"{ENTRY,"\u006b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, "tensor k"),
    (#"{"k":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, "tensor k: key dtype"),
    (#"{"k":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"shape":[2]}}"#, "tensor k: key shape"),
    (#"{"__metadata__":{},"__metadata__":{},ENTRY}"#, "tensor __metadata__"),
    (#"{"__metadata__":{"a":"1","a":"2"},ENTRY}"#, "key __metadata__: key a"),
  ])
  func duplicateKeys(header: String, subject: String) throws {
    let header = header.replacing("ENTRY", with: Self.entry("k", "[2]", "[0,8]"))
    let error = try #require(throws: FormatError.self) { try open(header, bytes: 8) }
    #expect(error.subject == subject)
    #expect(error.reason == "occurs twice in the header, which the format forbids")
  }

  @Test(arguments: [
    (#"{"__metadata__":{"a":1}}"#, "key __metadata__"), (#"{"__metadata__":[]}"#, "key __metadata__"),
    (#"{"k":[]}"#, "tensor k"), (#"{"k":{"dtype":"F32","shape":[0.5],"data_offsets":[0,0]}}"#, "tensor k"),
    (#"{"k":{"dtype":"F32","shape":[0],"data_offsets":[0,0,0]}}"#, "tensor k"),
  ])
  func entriesOfAnotherForm(header: String, subject: String) throws {
    #expect(try #require(throws: FormatError.self) { try open(header, bytes: 0) }.subject == subject)
  }

  /// Offsets in messages count from the file's first byte.
  @Test func errorsOfJSONHaveAnOffset() throws {
    let error = try #require(throws: FormatError.self) { try open(#"{"k":}"#, bytes: 0) }
    #expect(error.offset == 8 + 5 && error.reason.hasPrefix("is not valid JSON"))
  }

  /// All types of the format, with the bytes of eight elements.
  @Test(arguments: [
    ("BOOL", 8), ("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6), ("U8", 8), ("I8", 8), ("F8_E5M2", 8), ("F8_E4M3", 8),
    ("F8_E8M0", 8), ("F8_E4M3FNUZ", 8), ("F8_E5M2FNUZ", 8), ("I16", 16), ("U16", 16), ("F16", 16), ("BF16", 16),
    ("I32", 32), ("U32", 32), ("F32", 32), ("C64", 64), ("F64", 64), ("I64", 64), ("U64", 64),
  ])
  func elementTypes(dtype: String, bytes: Int) throws {
    try open("{\(Self.entry("k", "[2,4]", "[0,\(bytes)]", dtype: dtype))}", bytes: bytes)
    #expect(throws: FormatError.self) {
      try open("{\(Self.entry("k", "[2,4]", "[0,\(bytes - 1)]", dtype: dtype))}", bytes: bytes - 1)
    }
    // A buffer may have any type. A weight of a type that can't hold weights is refused.
    let model = try ReferenceModel.copy("llama2")
    let tensor = SafetensorsContent.Tensor(dtype: dtype, shape: [32], bytes: [UInt8](repeating: 0, count: bytes * 4))
    try model.edit { $0["model.layers.0.self_attn.rotary_emb.inv_freq"] = tensor }
    _ = try CheckpointDirectory(path: model.path)
    try model.edit { $0["model.norm.weight"] = tensor }
    if ["F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"].contains(dtype) {
      _ = try CheckpointDirectory(path: model.path)
    } else {
      let error = try #require(throws: FormatError.self) { try CheckpointDirectory(path: model.path) }
      #expect(error.subject == "tensor model.norm.weight" && error.reason == "is of type \(dtype)")
    }
  }

  @Test func unknownTypeIsRefused() throws {
    let error = try #require(throws: FormatError.self) {
      try open("{\(Self.entry("k", "[2]", "[0,2]", dtype: "F9"))}", bytes: 2)
    }
    #expect(error.subject == "tensor k" && error.reason == "has the unknown dtype F9")
  }

  /// F64 is rounded to F32, however rows are assembled.
  @Test(arguments: ReferenceModel.architectures)
  func doublesAreFloats(architecture: String) throws {
    let copy = try ReferenceModel.copy(architecture)
    let plain = try values(of: try CheckpointDirectory(path: copy.path))
    try copy.edit { content in
      for name in content.names {
        guard let tensor = content[name], tensor.dtype.hasSuffix("F16") || tensor.dtype == "F32" else { continue }
        // A thousandth of F32's last bit is lost by rounding.
        let values = tensor.values.map { $0 * (1 + 0x1p-34) }
        content[name] = .init(values, dtype: "F64", shape: tensor.shape)
      }
    }
    let model = try CheckpointDirectory(path: copy.path)
    #expect(model.tensors.allSatisfy { $0.type == .f32 })
    #expect(try values(of: model) == plain)
  }

  private func values(of model: CheckpointDirectory) throws -> [String: [Float]] {
    var result: [String: [Float]] = [:]
    for tensor in model.tensors {
      var values = [Float](repeating: .nan, count: tensor.shape.count)
      var span = values.mutableSpan
      try model.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &span)
      result[tensor.name] = values
    }
    return result
  }

  /// Empty tensors are not part of a model, and nothing is lost without them.
  @Test func emptyTensorsBesideAModel() throws {
    let model = try ReferenceModel.copy("llama2")
    try model.edit {
      for name in ["aa", "model.layers.0.mlp.zz", "zz"] { $0[name] = .init(dtype: "F32", shape: [0], bytes: []) }
    }
    #expect(try CheckpointDirectory(path: model.path).tensors.count == 21)
    try model.edit { $0["model.norm.weight"] = .init(dtype: "F16", shape: [0], bytes: []) }
    let error = try #require(throws: FormatError.self) { try CheckpointDirectory(path: model.path) }
    #expect(error.subject == "tensor model.norm.weight" && error.reason == "has shape [0]; config.json implies [32]")
  }
}
