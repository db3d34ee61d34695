import Files
import Foundation
import GGUF
import Imatrix
import Perplexity
import Quantize
import Tensors

/// Results of a fit's measurements, stored beside the output so that nothing is measured twice:
///
/// - `MODEL.imatrix.gguf`, the importance matrix, and `MODEL.sensitivity.json`, the sensitivities, which serve any target.
///   If another measurement has a file of that name, the output's name is used in place of the model's;
/// - `OUTPUT.mix`, the chosen types, until the output is complete.
///
/// Each file records its inputs. It is reused if all of them are the same, and never changed otherwise.
public struct Workspace: Sendable {
  /// Candidate paths. A new file gets the first that is free.
  private let imatrixPaths: [String]
  private let sensitivityPaths: [String]
  private let mixPath: String
  /// Whether to ignore existing files.
  private let restart: Bool

  /// A workspace for an importance matrix only, in the file at `path`.
  public init(importance path: String, restart: Bool) {
    (imatrixPaths, sensitivityPaths, mixPath) = ([path], [], "")
    self.restart = restart
  }

  public init(output: String, model: String, restart: Bool = false) {
    let folder = URL(filePath: output).deletingLastPathComponent().path
    let stem = model.hasSuffix(".gguf") ? String(model.dropLast(5)) : model
    let outputStem = output.hasSuffix(".gguf") ? String(output.dropLast(5)) : output
    imatrixPaths = ["\(folder)/\(stem).imatrix.gguf", outputStem + ".imatrix.gguf"]
    sensitivityPaths = ["\(folder)/\(stem).sensitivity.json", outputStem + ".sensitivity.json"]
    mixPath = output + ".mix"
    self.restart = restart
  }

  // MARK: importance

  private static let mark = "qtool.measured_on"

  /// The importance of a model over windows: from a file with the same inputs, or else measured and stored.
  func importance(_ measurement: ImportanceMeasurement, windows: String, in run: FitRun) throws -> ImportanceMatrix {
    let key = try Self.key(of: measurement.source, windows: windows, run)
    func isOurs(_ path: String) -> Bool { Self.mark(of: path) == key }
    if !restart, let path = imatrixPaths.first(where: isOurs) {
      run.observer.note(FitNote.importanceReused(path: path))
      return try ImportanceMatrix(path: path)
    }
    let path = Self.free(imatrixPaths, isOurs: isOurs)
    return try measurement.matrix(in: run, beside: path, restart: restart) {
      try $0.write(gguf: path, overwrite: true, adding: [Self.mark: .string(key)])
    }
  }

  /// Stores the importance that another run has measured over windows; returns the path.
  public func keep(
    _ matrix: ImportanceMatrix, of source: any ModelSource, windows: ScoringWindows, in run: FitRun
  ) throws -> String {
    let key = try Self.key(of: source, windows: windows.digest, run)
    let path = Self.free(imatrixPaths) { Self.mark(of: $0) == key }
    try matrix.write(gguf: path, overwrite: true, adding: [Self.mark: .string(key)])
    return path
  }

  private static func key(of source: any ModelSource, windows: String, _ run: FitRun) throws -> String {
    let measured = (source as? any FormedSource)?.measured ?? source
    return DataDigest.of("\(run.version) \(try ModelFingerprint(of: measured).hex) \(windows)")
  }

  private static func mark(of path: String) -> String? {
    (try? GGUFFile(path: path).metadata.optionalString(mark)) ?? nil
  }

  // MARK: sensitivities

  /// The table of an earlier run, finished or not.
  func sensitivities(like empty: SensitivityTable, _ observer: any RunObserver) -> SensitivityTable? {
    let path = sensitivityPath(empty)
    guard !restart, let table = try? SensitivityTable(path: path), table.matches(empty) else { return nil }
    observer.note(FitNote.sensitivitiesReused(path: path, isComplete: table.isComplete))
    return table
  }

  func keep(_ table: SensitivityTable) throws { try table.write(to: sensitivityPath(table), overwrite: true) }

  /// Path of the stored sensitivities of a measurement, or of their new file.
  private func sensitivityPath(_ table: SensitivityTable) -> String {
    Self.free(sensitivityPaths) { path in
      (try? SensitivityTable(path: path)).map { $0.matches(table) } ?? false
    }
  }

  /// The path of this measurement's file, else the first free path, else the last, which is this output's own.
  private static func free(_ paths: [String], isOurs: (String) -> Bool) -> String {
    paths.first(where: isOurs) ?? paths.first { !FileManager.default.fileExists(atPath: $0) } ?? paths[paths.count - 1]
  }

  // MARK: chosen types

  /// A finished choice of types. An interrupted run must continue with the same types, and a search with a time limit need
  /// not find them again.
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

  /// Removes the stored choice of types, once the output is complete and contains it.
  public func forgetChoice() { try? FileManager.default.removeItem(atPath: mixPath) }
}

extension DataDigest {
  static func of(_ text: String) -> String {
    var digest = DataDigest()
    digest.update(Array(text.utf8).span.bytes)
    return digest.hex()
  }
}
