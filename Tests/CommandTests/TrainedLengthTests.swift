import Foundation
import TestSupport
import Testing

/// Windows of text that are longer than those a model was trained for.
@Suite struct TrainedLengthTests {
  let qtool = Binary(beside: .module)

  private static let text = Repository.root.path + "/Examples/held-out.txt"

  @Test(arguments: [
    ["imatrix", "MODEL", "--calibration", text, "--ctx", "CTX", "--chunks", "2", "-o", "FOLDER/i.gguf"],
    ["perplexity", "MODEL", "--text", text, "--ctx", "CTX", "--chunks", "2"],
    ["drift", "MODEL", "MODEL", "--text", text, "--ctx", "CTX", "--chunks", "2"],
  ]) func oneLineNamesBothNumbers(arguments: [String]) throws {
    let model = try ReferenceModel.copy("llama2")
    try model.set("max_position_embeddings", 48)
    let name = model.directory.url.lastPathComponent
    for (context, count) in [(48, 1), (49, 2)] {
      let folder = try TemporaryDirectory()
      let result = try qtool.run(
        arguments.map {
          $0.replacing("MODEL", with: model.path).replacing("FOLDER", with: folder.url.path)
            .replacing("CTX", with: "\(context)")
        })
      #expect(result.status == 0, "\(result.error)")
      let line = "warning: windows of 49 tokens are longer than the 48 that \(name) was trained for\n"
      #expect(result.error.components(separatedBy: line).count == count, "\(result.error)")
      #expect(result.error.contains("longer than") == (count == 2), "\(result.error)")
    }
  }

  /// The windows of the importance that a measurement of sensitivities computes.
  @Test func importanceOfSensitivities() throws {
    let model = try ReferenceModel.copy("llama2")
    try model.set("max_position_embeddings", 256)
    let folder = try TemporaryDirectory()
    let text = folder.path("text.txt")
    try Data(contentsOf: URL(filePath: Self.text)).prefix(12_000).write(to: URL(filePath: text))
    let arguments = [
      "sensitivity", model.path, "--calibration", text, "--bands", "1", "--budget", "1s", "-o", folder.path("s.json"),
    ]
    let result = try qtool.run(arguments)
    #expect(result.status == 0, "\(result.error)")
    #expect(result.error.contains("warning: windows of 512 tokens are longer than the 256 that "), "\(result.error)")
  }
}
