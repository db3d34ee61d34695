import Files
import Fit
import Foundation
import GGUF
import Imatrix
import Perplexity
import Tensors

/// What quantizing measures before it writes, kept beside the output so that nothing is measured twice:
///
/// - `MODEL.imatrix.gguf`, the importance matrix, and `MODEL.sensitivity.json`, the sensitivities, which serve any
///   target; both are named for the output where a file of the model's name is of something else;
/// - `OUTPUT.mix`, the types that were chosen, until the output is whole.
///
/// Each says what it was measured on. It is used again where all of that is the same, and left alone where it is not.
struct MeasuredFiles {
  /// Names to look for, and to write to the first that is free.
  private let imatrixPaths: [String]
  private let sensitivityPaths: [String]
  private let mixPath: String
  /// Use nothing that is there.
  let restart: Bool

  /// An importance matrix alone, in a file of that name.
  init(importance path: String, restart: Bool) {
    (imatrixPaths, sensitivityPaths, mixPath) = ([path], [], "")
    self.restart = restart
  }

  init(output: String, model: String, restart: Bool) {
    let folder = URL(filePath: output).deletingLastPathComponent().path
    let stem = model.hasSuffix(".gguf") ? String(model.dropLast(5)) : model
    let own = output.hasSuffix(".gguf") ? String(output.dropLast(5)) : output
    imatrixPaths = ["\(folder)/\(stem).imatrix.gguf", own + ".imatrix.gguf"]
    sensitivityPaths = ["\(folder)/\(stem).sensitivity.json", own + ".sensitivity.json"]
    mixPath = output + ".mix"
    self.restart = restart
  }

  // MARK: importance

  private static let mark = "qtool.measured_on"

  /// The importance matrix of a model over windows: from a file that says it is that, or computed and kept.
  ///
  /// - Parameter compute: computes it, beside a file that it hands it over to be stored in.
  func importance(
    of source: any ModelSource, _ windows: ScoringWindows, _ progress: Progress,
    compute: (_ path: String, _ store: (ImportanceMatrix) throws -> Void) throws -> Void
  ) throws -> ImportanceMatrix {
    var digest = DataDigest()
    digest.update(Array("\(QTool.version) \(try ModelFingerprint(of: source).hex) \(windows.digest)".utf8).span.bytes)
    let key = digest.hex()
    func isOurs(_ path: String) -> Bool {
      (try? GGUFFile(path: path).metadata.optionalString(Self.mark)) == key
    }
    if !restart, let path = imatrixPaths.first(where: isOurs) {
      progress.note("importance matrix from an earlier run: \(path)")
      return try ImportanceMatrix(path: path)
    }
    let path = Self.place(imatrixPaths, isOurs: isOurs)
    var result: ImportanceMatrix?
    try compute(path) { matrix in
      try matrix.write(gguf: path, overwrite: true, adding: [Self.mark: .string(key)])
      result = matrix
    }
    guard let result else { preconditionFailure("no importance was computed") }
    return result
  }

  // MARK: sensitivities

  /// What an earlier run has measured, finished or not.
  func sensitivities(like empty: SensitivityTable, _ progress: Progress) -> SensitivityTable? {
    let path = sensitivityPath(empty)
    guard !restart, let table = try? SensitivityTable(path: path), table.matches(empty) else { return nil }
    progress.note("\(table.isComplete ? "sensitivities from an earlier run" : "going on from"): \(path)")
    return table
  }

  func keep(_ table: SensitivityTable) throws { try table.write(to: sensitivityPath(table), overwrite: true) }

  /// Where the sensitivities of a measurement are, or go.
  private func sensitivityPath(_ table: SensitivityTable) -> String {
    Self.place(sensitivityPaths) { path in
      (try? SensitivityTable(path: path)).map { $0.matches(table) } ?? false
    }
  }

  /// A file of this measurement, else the first name that is free, else the name that nobody else uses.
  private static func place(_ paths: [String], isOurs: (String) -> Bool) -> String {
    paths.first(where: isOurs) ?? paths.first { !FileManager.default.fileExists(atPath: $0) } ?? paths[paths.count - 1]
  }

  // MARK: the choice

  /// A finished choice of types. An interrupted run has to go on with the same, and a search by time never chooses twice
  /// alike.
  struct Choice: Codable {
    /// A digest of everything that the choice depends on.
    let key: String
    /// By tensor name.
    let types: [String: String]
    let lines: [String]
  }

  func choice(key: String) -> Choice? {
    guard !restart, let data = FileManager.default.contents(atPath: mixPath),
      let choice = try? JSONDecoder().decode(Choice.self, from: data), choice.key == key
    else { return nil }
    return choice
  }

  func keep(_ choice: Choice) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    let bytes = Array(try encoder.encode(choice))
    let output = try OutputFile(path: mixPath, overwrite: true)
    try output.write(bytes.span.bytes, at: 0)
    try output.commit()
  }

  /// The output is whole: its choice of types is written in it.
  func forgetChoice() { try? FileManager.default.removeItem(atPath: mixPath) }
}

extension ScoringWindows {
  /// SHA-256 of all tokens and of which are scored.
  var digest: String {
    var digest = DataDigest()
    digest.update(Array("\(context) \(scored)\n".utf8).span.bytes)
    for window in windows { digest.update(window.span.bytes) }
    return digest.hex()
  }
}
