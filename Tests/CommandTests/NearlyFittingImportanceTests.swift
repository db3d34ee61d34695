import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// Importance matrices that nearly fit a model, through the binary: entries that fit are used, others are noted.
@Suite struct NearlyFittingImportanceTests {
  let qtool = Binary(beside: .module)
  let folder: TemporaryDirectory
  /// The demo model, and its importance.
  private let demo: String
  private let matrix: String

  init() throws {
    folder = try TemporaryDirectory()
    demo = folder.path("demo.gguf")
    matrix = folder.path("demo.imatrix.gguf")
    _ = try run("convert", Repository.demoModel, "--type", "F16", "-o", demo)
    _ = try run(
      "imatrix", demo, "--calibration", Repository.calibration, "--chunks", "2", "--ctx", "128", "-o", matrix)
  }

  @discardableResult
  private func run(_ arguments: String..., status: Int32 = 0, location: SourceLocation = #_sourceLocation) throws
    -> Binary.Result
  {
    let result = try qtool.run(arguments)
    #expect(result.status == status, "\(result.error)", sourceLocation: location)
    return result
  }

  private func notes(_ result: Binary.Result) -> [String] {
    result.error.split(separator: "\n").filter { $0.hasPrefix("note: ") }.map(String.init)
  }

  private func types(_ path: String) throws -> [String: String] {
    Dictionary(uniqueKeysWithValues: try GGUFFile(path: path).tensors.map { ($0.name, $0.type.name) })
  }

  private func bytes(of tensor: String, in path: String) throws -> [UInt8] {
    let file = try GGUFFile(path: path)
    let info = try #require(file.tensor(named: tensor))
    var bytes = [UInt8](repeating: 0, count: info.shape.bytes(as: info.type) ?? 0)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try file.readBytes(of: info, rows: 0..<info.shape.rows, into: &raw)
    return bytes
  }

  /// The demo model with a layer for multi-token prediction, which forward passes omit.
  private func modelWithPredictionLayer() throws -> String {
    let path = folder.path("mtp.gguf")
    try rewriteGGUF(
      demo, to: path, keys: ["llama.block_count": .uint32(5), "llama.nextn_predict_layers": .uint32(1)]
    ) { tensor in
      tensor.name.hasPrefix("blk.3.") ? [tensor, tensor.named("blk.4." + tensor.name.dropFirst(6))] : [tensor]
    }
    return path
  }

  @Test func aLayerWithoutEntries() throws {
    let model = try modelWithPredictionLayer()
    let own = folder.path("mtp.imatrix.gguf")
    try run("imatrix", model, "--calibration", Repository.calibration, "--chunks", "2", "--ctx", "128", "-o", own)
    let (one, other) = (folder.path("one.gguf"), folder.path("other.gguf"))
    let result = try run("quantize", "--no-feedback", model, "--type", "IQ2_XXS", "--imatrix", own, "-o", one)
    let missing = try #require(notes(result).first { $0.contains("mtp.imatrix.gguf has no importance for 7 tensors") })
    #expect(missing.contains(": blk.4.") && missing.hasSuffix(", ..."), "\(missing)")
    #expect(notes(result).contains { $0.contains("Q2_K in place of IQ2_XXS") }, "\(result.error)")
    let types = try types(one)
    #expect(types["blk.4.ffn_up.weight"] == "Q2_K" && types["blk.3.ffn_up.weight"] == "IQ2_XXS")
    // Other tensors are encoded with their importance, and the recipe is that of the file.
    try run("quantize", "--no-feedback", demo, "--type", "IQ2_XXS", "--imatrix", matrix, "-o", other)
    #expect(
      try bytes(of: "blk.2.ffn_up.weight", in: one) == bytes(of: "blk.2.ffn_up.weight", in: other))
    let recipe = try #require(try GGUFFile(path: one).metadata.optionalString("quantize.recipe"))
    #expect(recipe.contains("blk\\.4\\.") && recipe.contains("=Q2_K"), "\(recipe)")
    // If the layer is removed, nothing is missing.
    let pruned = try run(
      "quantize", "--no-feedback", model, "--type", "IQ2_XXS", "--imatrix", own, "--prune-layers", "4", "-o", other,
      "--force")
    #expect(!pruned.error.contains("has no importance for"), "\(pruned.error)")
  }

  @Test func aTargetUnderMissingImportance() throws {
    let model = try modelWithPredictionLayer()
    let out = folder.path("out.gguf")
    // Two bits and a half: without the types that need importance the layer can't be among the smallest.
    let result = try run(
      "quantize", "--no-feedback", model, "--target", "1.75MB", "--imatrix", matrix, "--pin", "blk.4.ffn_down=IQ1_S",
      "--no-search",
      "--budget", "10s", "-o", out)
    #expect(notes(result).contains { $0.contains("Q2_K in place of IQ1_S") }, "\(result.error)")
    let size = try FileManager.default.attributesOfItem(atPath: out)[.size] as? Int ?? 0
    #expect(size <= 1_750_000 && size > 1_700_000)
    let needy: Set<String> = ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS"]
    let types = try types(out)
    #expect(types["blk.4.ffn_down.weight"] == "Q2_K")
    #expect(!types.contains { $0.key.hasPrefix("blk.4.") && needy.contains($0.value) }, "\(types)")
  }

  @Test func entriesThatAreLeftOver() throws {
    let changed = folder.path("changed.gguf")
    try rewriteGGUF(matrix, to: changed) { tensor in
      guard tensor.name.hasPrefix("blk.0.attn_q.weight.") else { return [tensor] }
      let suffix = tensor.name.dropFirst("blk.0.attn_q.weight.".count)
      let others = ["blk.0.attn_kv_b.weight.\(suffix)", "v.blk.0.attn_q.weight.\(suffix)"].map(tensor.named)
      return [tensor] + others + (suffix == "in_sum2" ? [tensor.named("blk.0.attn_q.weight.in_sum")] : [])
    }
    let (one, other) = (folder.path("one.gguf"), folder.path("other.gguf"))
    let result = try run("quantize", "--no-feedback", demo, "--type", "Q4_K_M", "--imatrix", changed, "-o", one)
    #expect(
      notes(result).contains(
        "note: changed.gguf has 2 entries that demo.gguf has no tensor for: blk.0.attn_kv_b.weight, "
          + "v.blk.0.attn_q.weight"), "\(result.error)")
    #expect(notes(result).contains { $0.hasSuffix("1 tensors are not importance: blk.0.attn_q.weight.in_sum") })
    try run("quantize", "--no-feedback", demo, "--type", "Q4_K_M", "--imatrix", matrix, "-o", other)
    for tensor in ["blk.0.attn_q.weight", "blk.3.ffn_down.weight"] {
      #expect(try bytes(of: tensor, in: one) == bytes(of: tensor, in: other))
    }
  }

  @Test func copiesUseImportanceForWhatIsPinned() throws {
    let (one, other) = (folder.path("one.gguf"), folder.path("other.gguf"))
    try run("quantize", demo, "--type", "COPY", "--pin", "ffn_down=IQ2_XXS", "--imatrix", matrix, "-o", one)
    let types = try types(one)
    #expect(types["blk.0.ffn_down.weight"] == "IQ2_XXS" && types["blk.0.ffn_up.weight"] == "F16")
    try run("quantize", demo, "--type", "IQ2_XXS", "--pure", "--imatrix", matrix, "-o", other)
    #expect(try bytes(of: "blk.0.ffn_down.weight", in: one) == bytes(of: "blk.0.ffn_down.weight", in: other))
    #expect(try GGUFFile(path: one).metadata.optionalString("quantize.imatrix.file") == "demo.imatrix.gguf")
    let idle = try run("quantize", demo, "--type", "COPY", "--imatrix", matrix, "-o", one, "--force")
    #expect(notes(idle).contains { $0.contains("importance is not used") }, "\(idle.error)")
    #expect(try GGUFFile(path: one).metadata["quantize.imatrix.file"] == nil)
    let refused = try run(
      "quantize", "--no-feedback", demo, "--type", "COPY", "--pin", "ffn_down=IQ2_XXS", "-o", one, "--force", status: 64
    )
    #expect(refused.error.contains("IQ2_XXS needs an importance matrix"))
    // A copy adds no error; a pin to another type does.
    let again = try run("quantize", other, "--type", "COPY", "--pin", "ffn_up=Q8_0", "-o", one, "--force", status: 64)
    #expect(again.error.contains("already quantized"), "\(again.error)")
    try run("quantize", other, "--type", "COPY", "--floor", "attn_v=Q4_K", "--allow-requantize", "-o", one, "--force")
    #expect(try self.types(one)["blk.1.attn_v.weight"] == "Q4_K" && self.types(one)["blk.1.ffn_up.weight"] == "IQ2_XXS")
  }

  @Test func pinsWithoutAnyImportanceAreRefusedAtOnce() throws {
    let result = try run(
      "quantize", demo, "--target", "2.5MB", "--no-importance", "--pin", "ffn_down=IQ2_XXS", "-o",
      folder.path("out.gguf"), status: 64)
    #expect(result.error.contains("blk.0.ffn_down.weight: IQ2_XXS needs an importance matrix"), "\(result.error)")
    #expect(!result.error.contains("sensitivity"))
  }

  @Test func sensitivityAndMergingTakeWhatFits() throws {
    let model = try modelWithPredictionLayer()
    let text = folder.path("text.txt")
    try (0..<200).map { "Sentence number \($0) is written for this test alone.\n" }.joined()
      .write(toFile: text, atomically: true, encoding: .utf8)
    let measured = try run(
      "sensitivity", model, "--imatrix", matrix, "--calibration", text, "--bands", "1", "--budget", "1s", "-o",
      folder.path("s.json"))
    #expect(notes(measured).contains { $0.contains("no importance for 7 tensors") }, "\(measured.error)")

    let part = folder.path("part.gguf")
    try rewriteGGUF(matrix, to: part) { $0.name.hasPrefix("blk.0.") ? [] : [$0] }
    let both = folder.path("both.gguf")
    let merged = try run("imatrix", "--merge", matrix, part, "-o", both)
    #expect(
      notes(merged).contains { $0.contains("note: 7 tensors are not in all files: blk.0.attn_k.weight") })
    #expect(merged.output.contains("28 tensors"))
    let sums = try GGUFFile(path: both)
    func count(_ tensor: String) throws -> [UInt8] { try bytes(of: tensor + ".counts", in: both) }
    func value(_ count: Float) -> [UInt8] { withUnsafeBytes(of: count.bitPattern.littleEndian) { Array($0) } }
    #expect(try count("blk.0.attn_k.weight") == value(256) && count("blk.1.attn_k.weight") == value(512))
    #expect(sums.tensors.count == 56)
    // Matrices without a common name are of different models.
    let other = folder.path("other.gguf")
    try rewriteGGUF(matrix, to: other) { [$0.named("other." + $0.name)] }
    let refused = try run("imatrix", "--merge", matrix, other, part, "-o", folder.path("none.gguf"), status: 65)
    #expect(
      refused.error.hasPrefix(
        "qtool: \(other): has no tensor in common with the other importance matrices ('other.blk."),
      "\(refused.error)")
    #expect(!FileManager.default.fileExists(atPath: folder.path("none.gguf")))
    // With a model, entries for other tensors are left out.
    let foreign = folder.path("foreign.gguf")
    try rewriteGGUF(matrix, to: foreign) { tensor in
      tensor.name.hasPrefix("blk.3.attn_q.") ? [tensor, tensor.named("v." + tensor.name)] : [tensor]
    }
    let joined = try run(
      "imatrix", demo, "--calibration", text, "--chunks", "1", "--ctx", "128", "--merge", foreign, "-o", both, "--force"
    )
    #expect(notes(joined).contains { $0.contains("1 entry that demo.gguf has no tensor for: v.blk.3.attn_q.weight") })
    #expect(joined.output.contains("28 tensors"), "\(joined.output)")
  }
}
