import Foundation
import GGUF
import Imatrix
import Tokenizers

/// The calibration text of a command.
struct Calibration {
  let text: CalibrationText
  /// The files of folders that are not used, as the model does not know their script.
  let unused: [String]

  /// - Parameters:
  ///   - paths: files and folders; if empty, the text that ships with qtool.
  ///   - source: the model whose chat template formats conversations.
  ///   - usesAll: whether to use text in scripts that the model does not know too.
  ///   - hint: hint of the error if `paths` is empty and qtool's text is missing.
  init(
    _ paths: [String], orShippedFor source: any ModelSource, usesAll: Bool = false,
    hint: String = "name one with --calibration, or an importance matrix with --imatrix"
  ) throws {
    var text = try CalibrationText(
      paths: paths.isEmpty ? [Self.shipped(hint: hint)] : paths,
      chat: ChatFormat(template: source.metadata.optionalString("tokenizer.chat_template")))
    // A model without a usable tokenizer is refused where its text is encoded.
    let tokenizer = usesAll ? nil : try? Tokenizer(metadata: source.metadata)
    unused =
      tokenizer.map { tokenizer in
        text.removeUnknownScripts { tokenizer.encode($0, addSpecial: false) }
      } ?? []
    self.text = text
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

  /// Notes on text whose content was changed on reading, and on text that is not used.
  var notes: [String] {
    guard !unused.isEmpty else { return text.sources.flatMap(\.notes) }
    return text.sources.flatMap(\.notes) + [
      "note: \(unused.joined(separator: ", ")): left out, since the model's vocabulary spells their script in bytes; "
        + "a file that --calibration names itself is used"
    ]
  }
}
