import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// Models with tensors of integers and of double precision, and with strings that are not UTF-8.
@Suite struct UnusualModelTests {
  let qtool = Binary(beside: .module)
  let out: TemporaryDirectory
  init() throws { out = try TemporaryDirectory() }

  /// The demo model with other tensors, or values changed.
  private func model(
    _ name: String, adding extra: [(TensorInfo, [UInt8])] = [], retyping: [String: GGMLType] = [:],
    metadata change: (inout Metadata) -> Void = { _ in }
  ) throws -> String {
    let plain = out.path("plain.gguf")
    if !FileManager.default.fileExists(atPath: plain) {
      let result = try qtool.run(["convert", Repository.demoModel, "-o", plain, "--quiet"])
      #expect(result.status == 0, "\(result.error)")
    }
    let source = try GGUFFile(path: plain)
    let tensors = source.tensors.map { TensorInfo(name: $0.name, shape: $0.shape, type: retyping[$0.name] ?? $0.type) }
    var metadata = source.metadata
    change(&metadata)
    let path = out.path(name)
    let writer = try GGUFWriter(
      path: path, layout: GGUFLayout(metadata: metadata, tensors: tensors + extra.map(\.0)), overwrite: true)
    for (index, tensor) in source.tensors.enumerated() {
      switch tensors[index].type {
      case tensor.type: try writer.copy(tensor: index, from: source)
      case .f64:
        var floats = [Float](repeating: 0, count: tensor.shape.count)
        var span = floats.mutableSpan
        try source.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &span)
        let doubles = floats.map(Double.init)
        try writer.write(doubles.span.bytes, tensor: index, row: 0)
      default:
        let zeros = [UInt8](repeating: 0, count: tensors[index].shape.bytes(as: tensors[index].type) ?? 0)
        try writer.write(zeros.span.bytes, tensor: index, row: 0)
      }
    }
    for (index, (_, bytes)) in extra.enumerated() {
      try writer.write(bytes.span.bytes, tensor: tensors.count + index, row: 0)
    }
    try writer.commit()
    return path
  }

  private func text() throws -> String {
    let text = try String(contentsOfFile: Repository.root.path + "/Examples/held-out.txt", encoding: .utf8)
    try String(text.prefix(2500)).write(toFile: out.path("text.txt"), atomically: true, encoding: .utf8)
    return out.path("text.txt")
  }

  private func run(_ arguments: String...) throws -> Binary.Result { try qtool.run(arguments + ["--quiet"]) }

  private func bytes(of name: String, in path: String) throws -> (type: GGMLType, bytes: [UInt8]) {
    let file = try GGUFFile(path: path)
    let tensor = try #require(file.tensor(named: name))
    var bytes = [UInt8](repeating: 0, count: tensor.shape.bytes(as: tensor.type) ?? 0)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try file.readBytes(of: tensor, rows: 0..<tensor.shape.rows, into: &raw)
    return (tensor.type, bytes)
  }

  @Test(arguments: [GGMLType.i8, .i16, .i32, .i64]) func integersAreCopied(_ type: GGMLType) throws {
    let shape = try #require(Shape([256, 4]))
    let data = (0..<(shape.bytes(as: type) ?? 0)).map { UInt8(truncatingIfNeeded: $0 &* 37) }
    let name = "blk.0.extra.weight"
    let path = try model("i.gguf", adding: [(TensorInfo(name: name, shape: shape, type: type), data)])
    for arguments in [
      ["quantize", path, "--type", "Q4_K_M", "--no-importance"], ["quantize", path, "--type", "COPY"],
      [
        "quantize", path, "--target", "3MB", "--no-importance", "--no-search", "--budget", "1s", "--calibration",
        try text(),
      ],
      ["convert", path, "--type", "BF16"],
      ["quantize", "--no-feedback", path, "--type", "Q8_0", "--pure", "--prune-layers", "1"],
    ] {
      let result = try qtool.run(arguments + ["-o", out.path("o.gguf"), "--force", "--quiet"])
      #expect(result.status == 0, "\(arguments): \(result.error)")
      let found = try bytes(of: name, in: out.path("o.gguf"))
      #expect(found.type == type && found.bytes == data)
    }
    let told = try qtool.run(["convert", path, "--type", "F16", "-o", out.path("o.gguf"), "--force"])
    #expect(told.error.contains("note: integer tensors are copied unchanged: blk.0.extra.weight (\(type))"))
    for (option, value) in [("--pin", "extra=Q8_0"), ("--floor", "extra\\.weight=Q4_K")] {
      let result = try qtool.run([
        "quantize", path, "--type", "Q4_K_M", "--no-importance", option, value, "-o", out.path("p.gguf"), "--quiet",
      ])
      #expect(result.status == 64)
      #expect(result.error.contains("tensor blk.0.extra.weight holds integers (\(type)), which are copied unchanged"))
    }
    #expect(try run("diff", path, out.path("o.gguf")).status == 0)
    #expect(try run("verify", path).status == 0)
  }

  /// Integers in place of weights are refused by name before anything is computed.
  @Test(arguments: ["blk.0.attn_q.weight", "token_embd.weight", "blk.1.attn_norm.weight", "output.weight"])
  func integersAreNotRun(_ name: String) throws {
    let path = try model("j.gguf", retyping: [name: .i32])
    for command in [
      ["perplexity", path, "--text", try text(), "--ctx", "64"], ["imatrix", path, "--calibration", try text()],
    ] {
      let result = try qtool.run(
        command + (command[0] == "imatrix" ? ["-o", out.path("m.gguf"), "--quiet"] : ["--quiet"]))
      #expect(result.status == 65, "\(result.error)")
      #expect(result.error.contains("tensor '\(name)' holds integers (I32), not weights"))
    }
  }

  /// Doubles with the values of floats give the same floats.
  @Test func doublePrecisionIsRead() throws {
    let plain = try model("k.gguf")
    let double = try model(
      "d.gguf", retyping: ["blk.0.attn_q.weight": .f64, "token_embd.weight": .f64, "blk.1.ffn_norm.weight": .f64])
    func score(_ path: String) throws -> String {
      let result = try run("perplexity", path, "--text", try text(), "--ctx", "128", "--csv")
      #expect(result.status == 0, "\(result.error)")
      return result.output.replacing(try #require(path.split(separator: "/").last), with: "m")
    }
    #expect(try score(double) == score(plain))
    for type in ["Q4_K_M", "F16"] {
      for (source, output) in [(plain, "a.gguf"), (double, "b.gguf")] {
        let result = try run("quantize", source, "--type", type, "--no-importance", "-o", out.path(output), "--force")
        #expect(result.status == 0, "\(result.error)")
      }
      for name in ["blk.0.attn_q.weight", "token_embd.weight", "blk.1.ffn_norm.weight"] {
        let (one, other) = (try bytes(of: name, in: out.path("a.gguf")), try bytes(of: name, in: out.path("b.gguf")))
        #expect(one.type == other.type && one.bytes == other.bytes, "\(name)")
      }
    }
    #expect(try run("diff", plain, double).output.contains(/blk\.0\.attn_q\.weight .* F64 +0\b/))
  }

  /// A token that is not UTF-8 is shown and copied, and does not affect other tokens.
  @Test func bytesOfStringsAreKept() throws {
    let path = try model("s.gguf") { metadata in
      var tokens = metadata.optionalStrings("tokenizer.ggml.tokens") ?? []
      tokens[2000] = String(stored: [0x61, 0xFF, 0x62])
      tokens[2001] = String(stored: [0x61, 0xFE, 0x62])
      metadata["tokenizer.ggml.tokens"] = .array(.string(tokens))
      metadata["general.description"] = .string(String(stored: Array("J".utf8) + [0xFC] + Array("rgen".utf8)))
    }
    let shown = try qtool.run(["inspect", path, "--key", "general.description"])
    #expect(shown.status == 0 && shown.output == "J\u{FFFD}rgen\n", "\(shown.output) \(shown.error)")
    let json = try qtool.run(["inspect", path, "--json"])
    #expect(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) is [String: Any])
    #expect(json.output.contains("J\u{FFFD}rgen"))
    let ids = try qtool.run(["tokenize", path, "--text", try text()])
    #expect(ids.status == 0)
    let quantized = try run("quantize", path, "--type", "Q8_0", "--no-importance", "-o", out.path("t.gguf"))
    #expect(quantized.status == 0, "\(quantized.error)")
    let metadata = try GGUFFile(path: out.path("t.gguf")).metadata
    #expect(metadata.optionalStrings("tokenizer.ggml.tokens")?[2000].storedBytes == [0x61, 0xFF, 0x62])
    #expect(metadata.optionalString("general.description")?.storedBytes == [0x4A, 0xFC] + Array("rgen".utf8))
  }
}
