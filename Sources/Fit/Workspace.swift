import Files
import Foundation
import GGUF
import Imatrix
import Perplexity
import Tensors

/// What fitting measures before a file is written, kept beside the output so that nothing is measured twice:
///
/// - `MODEL.imatrix.gguf`, the importance matrix, and `MODEL.sensitivity.json`, the sensitivities, which serve any
///   target; both are named for the output where a file of the model's name is of something else;
/// - `OUTPUT.mix`, the types that were chosen, until the output is whole.
///
/// Each says what it was measured on. It is used again where all of that is the same, and left alone where it is not.
public struct Workspace: Sendable {
  /// Names to look for, and to write to the first that is free.
  private let imatrixPaths: [String]
  private let sensitivityPaths: [String]
  private let mixPath: String
  /// Use nothing that is there.
  private let restart: Bool

  /// An importance matrix alone, in a file of that name.
  public init(importance path: String, restart: Bool) {
    (imatrixPaths, sensitivityPaths, mixPath) = ([path], [], "")
    self.restart = restart
  }

  public init(output: String, model: String, restart: Bool = false) {
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

  /// The importance of a model over windows: from a file that says it is that, or measured and kept.
  func importance(_ measurement: ImportanceMeasurement, windows: String, in run: FitRun) throws -> ImportanceMatrix {
    let fingerprint = try ModelFingerprint(of: measurement.source).hex
    let key = DataDigest.of("\(run.version) \(fingerprint) \(windows)")
    func isOurs(_ path: String) -> Bool {
      (try? GGUFFile(path: path).metadata.optionalString(Self.mark)) == key
    }
    if !restart, let path = imatrixPaths.first(where: isOurs) {
      run.observer.note(.importanceReused(path: path))
      return try ImportanceMatrix(path: path)
    }
    let path = Self.free(imatrixPaths, isOurs: isOurs)
    return try measurement.matrix(in: run, beside: path, restart: restart) {
      try $0.write(gguf: path, overwrite: true, adding: [Self.mark: .string(key)])
    }
  }

  // MARK: sensitivities

  /// What an earlier run has measured, finished or not.
  func sensitivities(like empty: SensitivityTable, _ observer: any FitObserver) -> SensitivityTable? {
    let path = sensitivityPath(empty)
    guard !restart, let table = try? SensitivityTable(path: path), table.matches(empty) else { return nil }
    observer.note(.sensitivitiesReused(path: path, isComplete: table.isComplete))
    return table
  }

  func keep(_ table: SensitivityTable) throws { try table.write(to: sensitivityPath(table), overwrite: true) }

  /// Where the sensitivities of a measurement are, or go.
  private func sensitivityPath(_ table: SensitivityTable) -> String {
    Self.free(sensitivityPaths) { path in
      (try? SensitivityTable(path: path)).map { $0.matches(table) } ?? false
    }
  }

  /// A file of this measurement, else the first name that is free, else the name that nobody else uses.
  private static func free(_ paths: [String], isOurs: (String) -> Bool) -> String {
    paths.first(where: isOurs) ?? paths.first { !FileManager.default.fileExists(atPath: $0) } ?? paths[paths.count - 1]
  }

  // MARK: the choice

  /// A finished choice of types. An interrupted run has to go on with the same, and a search by time never chooses twice
  /// alike.
  private struct Choice: Codable {
    /// A digest of everything that the choice depends on.
    let key: String
    let report: FitReport
  }

  func report(key: String) -> FitReport? {
    guard !restart, let data = FileManager.default.contents(atPath: mixPath),
      let choice = try? JSONDecoder().decode(Choice.self, from: data), choice.key == key
    else { return nil }
    return choice.report
  }

  func keep(_ report: FitReport, key: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    let bytes = Array(try encoder.encode(Choice(key: key, report: report)))
    let output = try OutputFile(path: mixPath, overwrite: true)
    try output.write(bytes.span.bytes, at: 0)
    try output.commit()
  }

  /// The output is whole: its choice of types is written in it.
  public func forgetChoice() { try? FileManager.default.removeItem(atPath: mixPath) }
}

extension DataDigest {
  static func of(_ text: String) -> String {
    var digest = DataDigest()
    digest.update(Array(text.utf8).span.bytes)
    return digest.hex()
  }
}
