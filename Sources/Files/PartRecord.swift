import Foundation

/// The record of a finished part of a run: a file beside the output, `<output>.part-<number>-of-<count>.json`. It names
/// the inputs of the whole run, and the files or data of the part with their SHA-256.
public struct PartRecord: Codable, Sendable, Equatable {
  /// The part.
  public let part: RunPart
  /// The inputs of the whole run.
  public let identity: RunIdentity
  /// The arguments of the command, without those that choose a part.
  public let arguments: [String]
  /// SHA-256 of finished files or tensors by name. Names of files are relative to the output's folder.
  public let contents: [String: String]

  /// - Parameters:
  ///   - arguments: the arguments of the command, without those that choose a part.
  ///   - contents: SHA-256 by name.
  public init(part: RunPart, identity: RunIdentity, arguments: [String], contents: [String: String]) {
    self.part = part
    self.identity = identity
    self.arguments = arguments
    self.contents = contents
  }

  /// The prefix of the paths of a part's files.
  public static func prefix(_ output: String, _ part: RunPart) -> String {
    "\(output).part-\(part.number)-of-\(part.count)"
  }

  static func path(_ output: String, _ part: RunPart) -> String { prefix(output, part) + ".json" }

  /// Writes the record. The part counts as finished from then on.
  ///
  /// - Throws: ``FileError``
  public func write(beside output: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
    let file = try OutputFile(path: Self.path(output, part), overwrite: true)
    try file.write(Array(try encoder.encode(self)))
    try file.commit()
  }

  /// The record of a part; nil if it is not finished.
  ///
  /// - Throws: `FormatError` where it is damaged, ``FileError``.
  public init?(of part: RunPart, beside output: String) throws {
    let path = Self.path(output, part)
    guard FileIdentity(path: path) != nil else { return nil }
    let file = try PositionedFile(path: path)
    let bytes = try file.bytes(in: 0..<min(file.size, Self.maximumBytes))
    guard let record = try? JSONDecoder().decode(PartRecord.self, from: Data(bytes)), record.part == part else {
      throw FormatError(path: path, "is not the record of part \(part)")
    }
    self = record
  }

  /// A record of the largest models names some thousand tensors.
  private static let maximumBytes = 64 << 20
}

/// All parts of a run, checked against each other.
public struct JoinedParts: Sendable {
  /// The records, in the order of the parts.
  public let records: [PartRecord]

  /// The counts of parts for which there are records beside `output`.
  public static func counts(beside output: String) -> [Int] {
    Set(PartFile.all(beside: output).filter(\.isRecord).map(\.part.count)).sorted()
  }

  /// Reads the records of all parts.
  ///
  /// - Throws: ``PartsError``, `FormatError`, ``FileError``.
  public init(beside output: String, count: Int) throws {
    var records: [PartRecord] = []
    var missing: [RunPart] = []
    for part in RunPart.all(count) {
      if let record = try PartRecord(of: part, beside: output) { records.append(record) } else { missing.append(part) }
    }
    guard let first = records.first, missing.isEmpty else {
      throw PartsError.missing(output: output, missing, of: count, arguments: records.first?.arguments ?? [])
    }
    for record in records.dropFirst() {
      if let (field, mine, theirs) = first.identity.difference(from: record.identity) {
        throw PartsError.different(
          output: output, field: field, first: first.part, value: mine, other: record.part, otherValue: theirs)
      }
    }
    self.records = records
  }

  /// Throws where files beside `output` are of another run, or of a run in another number of parts.
  public static func requireOne(_ identity: RunIdentity, count: Int, beside output: String) throws {
    let files = PartFile.all(beside: output)
    let counts = Set(files.map(\.part.count)).subtracting([count]).sorted()
    guard counts.isEmpty else { throw PartsError.severalCounts(output: output, counts + [count]) }
    for file in files {
      // Another process may rename or remove its files meanwhile.
      guard let other = try file.identity(beside: output), let (field, mine, theirs) = identity.difference(from: other)
      else { continue }
      throw PartsError.other(output: output, field: field, value: mine, recorded: theirs)
    }
    guard !RunJournal.isBegun(output) else { throw PartsError.begun(output: output) }
  }

  /// Throws where files of parts are beside the output of a run that is not divided.
  public static func requireNone(beside output: String) throws(PartsError) {
    var parts: [RunPart] = []
    for file in PartFile.all(beside: output) where !parts.contains(file.part) { parts.append(file.part) }
    guard parts.isEmpty else { throw .leftover(output: output, parts) }
  }

  /// Throws where the run that joins has other inputs than its parts.
  public func require(_ identity: RunIdentity, output: String) throws(PartsError) {
    guard let (field, mine, theirs) = identity.difference(from: records[0].identity) else { return }
    throw .other(output: output, field: field, value: mine, recorded: theirs)
  }
}

/// Parts that can't be joined.
public enum PartsError: Error, Sendable, Equatable {
  /// Some parts are not finished.
  case missing(output: String, [RunPart], of: Int, arguments: [String])
  /// Two parts are of different runs.
  case different(
    output: String, field: String, first: RunPart, value: String, other: RunPart, otherValue: String)
  /// The parts are of another run than the one that joins them.
  case other(output: String, field: String, value: String, recorded: String)
  /// A file of a part was changed after it was finished, or is missing.
  case damaged(output: String, RunPart, name: String)
  /// The unfinished output, into which all parts wrote, is missing.
  case noData(output: String, count: Int)
  /// There are records of runs in different numbers of parts.
  case severalCounts(output: String, [Int])
  /// A run of the whole output is unfinished.
  case begun(output: String)
  /// Files of parts are beside the output of a run that is not divided.
  case leftover(output: String, [RunPart])
  /// There are more parts than units of work.
  case tooMany(count: Int, units: Int, unit: String)
}

extension PartsError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .missing(let output, let parts, let count, _):
      "\(output): \(parts.count) of \(count) parts are missing: \(Self.list(parts))"
    case .different(let output, let field, let first, let value, let other, let otherValue):
      "\(output): parts \(first) and \(other) are of different runs: \(field) is \(value.prefix(16)) and "
        + "\(otherValue.prefix(16))"
    case .other(let output, let field, let value, let recorded):
      "\(output): the parts are of another run: their \(field) is \(recorded.prefix(16)), not \(value.prefix(16))"
    case .damaged(let output, let part, let name):
      "\(output): '\(name)' of part \(part) is missing, or has changed since it was finished"
    case .noData(let output, let count):
      "\(output): '\(output).part', into which the \(count) parts wrote, is missing"
    case .severalCounts(let output, let counts):
      "\(output): has parts of runs in \(counts.map(String.init).joined(separator: ", ")) parts"
    case .begun(let output): "\(output): an unfinished run of the whole output has files beside it"
    case .leftover(let output, let parts): "\(output): has files of parts beside it: \(Self.list(parts))"
    case .tooMany(let count, let units, let unit): "\(count) parts of \(units) \(unit): at least one is empty"
    }
  }

  private static func list(_ parts: [RunPart]) -> String {
    parts.prefix(8).map { "\($0)" }.joined(separator: ", ") + (parts.count > 8 ? ", ..." : "")
  }
}

/// The record of a finished part, or the journal of one that was begun.
private struct PartFile {
  let part: RunPart
  let path: String
  let isRecord: Bool

  /// The files of all parts beside an output, in the order of the parts.
  static func all(beside output: String) -> [PartFile] {
    let prefix = URL(filePath: output).lastPathComponent + ".part-"
    return PrefixedFiles(output + ".part-").paths.compactMap { path in
      let name = URL(filePath: path).lastPathComponent.dropFirst(prefix.count)
      guard let match = name.wholeMatch(of: /(\d+)-of-(\d+)\.(json|journal)/), let number = Int(match.1),
        let count = Int(match.2), let part = RunPart(number: number, count: count)
      else { return nil }
      return PartFile(part: part, path: path, isRecord: match.3 == "json")
    }.sorted { ($0.part.count, $0.part.number, $0.path) < ($1.part.count, $1.part.number, $1.path) }
  }

  /// The inputs of the run; nil for a journal without them.
  func identity(beside output: String) throws -> RunIdentity? {
    isRecord ? try PartRecord(of: part, beside: output)?.identity : RunJournal.identity(path: path)
  }
}
