import Foundation
import Imatrix
import Perplexity
import Tensors
import Tokenizers

/// Calibration text: files, or a directory of .txt and .md files in the order of their names.
struct Calibration {
  let files: [String]

  init(_ paths: [String]) throws {
    files = try paths.flatMap { path -> [String] in
      var isDirectory: ObjCBool = false
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
        throw Failure(.missing, "\(path): no such file or directory", hint: "name calibration text, or a folder of it")
      }
      guard isDirectory.boolValue else { return [path] }
      let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted().filter {
        ($0.hasSuffix(".txt") || $0.hasSuffix(".md")) && $0 != "README.md"
      }
      guard !names.isEmpty else {
        throw Failure(.missing, "\(path): holds no .txt or .md file", hint: "name a folder with calibration text")
      }
      return names.map { URL(filePath: path).appending(path: $0).path }
    }
  }

  /// The text that ships with qtool: in the folder `calibration` of the checkout or archive that holds the program.
  static func shipped() throws -> Calibration {
    var folder = URL(filePath: CommandLine.arguments[0]).resolvingSymlinksInPath()
    if let path = Bundle.main.executablePath { folder = URL(filePath: path).resolvingSymlinksInPath() }
    for _ in 0..<6 {
      folder = folder.deletingLastPathComponent()
      for place in ["calibration", "share/qtool/calibration"] {
        let candidate = folder.appending(path: place)
        if FileManager.default.fileExists(atPath: candidate.appending(path: "README.md").path) {
          return try Calibration([candidate.path])
        }
      }
    }
    throw Failure(
      .missing, "the calibration text that ships with qtool was not found beside the program",
      hint: "name one with --calibration, or an importance matrix with --imatrix")
  }

  /// All texts as one stream of tokens, cut into windows; `limit` keeps as many, evenly spread over the texts.
  func windows(_ tokenizer: Tokenizer, context: Int, limit: Int? = nil) throws -> ScoringWindows {
    let bos = tokenizer.addsBOS ? tokenizer.bos : nil
    // The stream begins with BOS, as llama-imatrix has it: one text gives the same windows there.
    let tokens = try (bos.map { [$0] } ?? []) + files.flatMap { tokenizer.encode(try readText($0), addSpecial: false) }
    let name = files.count == 1 ? files[0] : "\(files.count) calibration texts"
    let all = try ScoringWindows(tokens: tokens, context: context, bos: bos, name: name)
    guard let limit, limit < all.windows.count else { return all }
    return ScoringWindows(
      joining: (0..<limit).map { index in
        let window = index * all.windows.count / limit
        return all[window..<window + 1]
      })
  }

  var names: [String] { files.map { URL(filePath: $0).lastPathComponent } }
}
