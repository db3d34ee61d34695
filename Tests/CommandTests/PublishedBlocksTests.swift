import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// gpt-oss with experts in MXFP4, through the commands: the experts keep their blocks.
@Suite struct PublishedBlocksTests {
  private let qtool = Binary(beside: .module)
  private let directory: TemporaryDirectory
  private let model: DemoCopy

  init() throws {
    directory = try TemporaryDirectory()
    model = try ReferenceModel.copy("gpt-oss-mxfp4")
  }

  private func quantize(_ arguments: [String]) throws -> (GGUFFile, String) {
    let path = directory.path("out.gguf")
    let result = try qtool.run(
      ["quantize", "--no-feedback", "--no-importance", "-o", path, "--force"] + arguments)
    #expect(result.status == 0, "\(result.error)")
    return (try GGUFFile(path: path), result.error)
  }

  private func experts(of file: GGUFFile) -> Set<GGMLType> {
    Set(file.tensors.filter { $0.name.hasSuffix("_exps.weight") }.map(\.type))
  }

  @Test func aMixKeepsTheExperts() throws {
    let (file, notes) = try quantize([model.path, "--type", "Q4_0"])
    #expect(experts(of: file) == [.mxfp4])
    #expect(file.tensor(named: "blk.0.attn_k.weight")?.type == .q4_0)
    #expect(notes.contains("6 tensors, first blk.0.ffn_gate_exps.weight, keep MXFP4, in which they are published"))
    #expect(experts(of: try quantize([model.path, "--type", "Q4_0", "--allow-requantize"]).0) == [.q4_0])
    #expect(
      experts(of: try quantize([model.path, "--type", "Q4_0", "--pin", "_exps=Q8_0", "--allow-requantize"]).0) == [
        .q8_0
      ])
  }

  /// A file in which every matrix is quantized is refused, as before.
  @Test func aQuantizedFileIsRefused() throws {
    _ = try quantize([model.path, "--type", "Q8_0"])
    let again = try qtool.run([
      "quantize", "--no-feedback", "--no-importance", directory.path("out.gguf"), "--type", "Q4_0", "-o",
      directory.path("again.gguf"),
    ])
    #expect(again.status == 64)
    #expect(again.error.contains("is already quantized"), "\(again.error)")
  }

  /// To a size, from what tensors are worth in other models.
  @Test func aTargetKeepsTheExperts() throws {
    let (full, _) = try quantize([model.path, "--type", "COPY"])
    let size = try Data(contentsOf: URL(filePath: full.path)).count
    let (file, _) = try quantize([model.path, "--target", "\(size * 9 / 10)B", "--budget", "0"])
    #expect(experts(of: file) == [.mxfp4])
  }

  /// A plan has the sizes of the files that quantize writes, with the experts' blocks unless they may change.
  @Test(arguments: [[], ["--allow-requantize"]]) func aPlanKeepsTheExperts(more: [String]) throws {
    let plan = try qtool.run(["plan", model.path, "--type", "Q4_0", "--json"] + more)
    #expect(plan.status == 0, "\(plan.error)")
    let note = "note: 6 tensors keep MXFP4, in which they are published; --allow-requantize plans them in the types"
    #expect(plan.error.contains(note) == more.isEmpty, "\(plan.error)")
    let json = try #require(try JSONSerialization.jsonObject(with: Data(plan.output.utf8)) as? [String: Any])
    let row = try #require((json["rows"] as? [[String: Any]])?.first { $0["name"] as? String == "Q4_0" })
    let (file, _) = try quantize([model.path, "--type", "Q4_0"] + more)
    let bytes = file.tensors.reduce(0) { $0 + (($1.shape.bytes(as: $1.type) ?? 0) + 31) / 32 * 32 }
    #expect(row["tensor_bytes"] as? Int == bytes)
  }

  /// The forward pass multiplies by the blocks: the same from a directory, its conversion and a decoded copy.
  @Test func perplexityIsThatOfTheDecodedModel() throws {
    let text = Repository.root.path + "/Examples/held-out.txt"
    var models = [model.path]
    for (name, more) in [("kept.gguf", []), ("decoded.gguf", ["--type", "F32", "--allow-requantize"])] {
      models.append(directory.path(name))
      let result = try qtool.run(["convert", model.path, "-o", directory.path(name), "--quiet"] + more)
      #expect(result.status == 0, "\(result.error)")
    }
    let lines = try models.map { path in
      let result = try qtool.run([
        "perplexity", path, "--text", text, "--ctx", "64", "--chunks", "4", "--csv", "--quiet",
      ])
      #expect(result.status == 0, "\(result.error)")
      return result.output.split(separator: "\n").dropFirst().map {
        $0.split(separator: ",").dropFirst().joined(separator: ",")
      }
    }
    #expect(!lines[0].isEmpty && lines[0] == lines[1] && lines[1] == lines[2])
  }
}
