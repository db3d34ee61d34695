import Foundation
import GGUF
import Imatrix

/// The calibration text of a command.
struct Calibration {
  let text: CalibrationText

  /// - Parameters:
  ///   - paths: files and folders; if empty, the text that ships with qtool.
  ///   - source: the model whose chat template formats conversations.
  ///   - hint: hint of the error if `paths` is empty and qtool's text is missing.
  init(
    _ paths: [String], orShippedFor source: any ModelSource,
    hint: String = "name one with --calibration, or an importance matrix with --imatrix"
  ) throws {
    text = try CalibrationText(
      paths: paths.isEmpty ? [Self.shipped(hint: hint)] : paths,
      chat: ChatFormat(template: source.metadata.optionalString("tokenizer.chat_template")))
  }

  /// The folder `calibration` of the checkout or archive that holds the program.
  private static func shipped(hint: String) throws -> String {
    var folder = URL(filePath: CommandLine.arguments[0]).resolvingSymlinksInPath()
    if let path = Bundle.main.executablePath { folder = URL(filePath: path).resolvingSymlinksInPath() }
    for _ in 0..<6 {
      folder = folder.deletingLastPathComponent()
      for path in ["calibration", "share/qtool/calibration"] {
        let candidate = folder.appending(path: path)
        if FileManager.default.fileExists(atPath: candidate.appending(path: "README.md").path) { return candidate.path }
      }
    }
    throw Failure(
      .missing, "the calibration text that ships with qtool was not found beside the program", hint: hint)
  }

  var names: [String] { text.names }

  /// Notes on text whose content was changed on reading.
  var notes: [String] { text.sources.flatMap(\.notes) }
}
