import Files
import Fit
import Foundation

/// The files of the parts of a run beside its output.
struct PartFiles {
  let output: String
  let identity: RunIdentity

  /// Refuses parts of other runs beside the output, before hours of work.
  func check(_ part: RunPart, of units: Int, _ unit: String) throws {
    guard part.count <= units else { throw PartsError.tooMany(count: part.count, units: units, unit: unit) }
    try JoinedParts.requireOne(identity, count: part.count, beside: output)
  }

  /// Does the work of a part with the journal and snapshots of a run of its own, and records it. A part that is
  /// finished is done again only with --restart.
  ///
  /// - Parameters:
  ///   - kind: the extension of the part's file, which `work` writes.
  ///   - isComplete: whether other files that `work` writes are complete.
  func run(
    _ part: RunPart, kind: String, _ journal: JournalOptions, _ progress: Progress,
    isComplete hasOthers: () throws -> Bool = { true },
    _ work: (_ kept: KeptRun?, _ path: String) throws -> Void
  ) throws {
    let own = PartRecord.prefix(output, part)
    let path = "\(own).\(kind)"
    if !journal.restart, let record = try PartRecord(of: part, beside: output), isComplete(record),
      try hasOthers()
    {
      progress.note("part \(part): is finished already; --restart does it again")
    } else if journal.snapshotEvery > 0 {
      let kept = try journal.keptRun(output: own, identity: identity)
      try kept.keeping { try finish(part, path) { try work(kept, path) } }
    } else {
      try finish(part, path) { try work(nil, path) }
    }
    print("\(path): part \(part) of \(output)")
  }

  private func finish(_ part: RunPart, _ path: String, _ work: () throws -> Void) throws {
    try work()
    try PartRecord(
      part: part, identity: identity, arguments: PartOptions.arguments,
      contents: [name(path): try DataDigest.ofFile(path)]
    ).write(beside: output)
  }

  /// The paths of the files of all parts, in order, whose SHA-256 match their records.
  ///
  /// - Throws: `PartsError`
  func joined(count: Int) throws -> [String] {
    let parts = try JoinedParts(beside: output, count: count)
    try parts.require(identity, output: output)
    return try parts.records.map { record in
      guard isComplete(record), let name = record.contents.keys.first else {
        throw PartsError.damaged(output: output, record.part, name: record.contents.keys.first ?? "")
      }
      return path(name)
    }
  }

  /// Writes the figures of a part.
  static func write(_ figures: some Encodable, to path: String) throws {
    let output = try OutputFile(path: path, overwrite: true)
    try output.write(Array(try JSONEncoder().encode(figures)))
    try output.commit()
  }

  /// Reads the figures of a part.
  static func read<Figures: Decodable>(_ type: Figures.Type, from path: String) throws -> Figures {
    let file = try PositionedFile(path: path)
    guard let figures = try? JSONDecoder().decode(type, from: Data(try file.bytes(in: 0..<file.size))) else {
      throw FormatError(path: path, "is not the result of a part")
    }
    return figures
  }

  /// Removes the files of all parts, once the result is stored.
  func remove() { PrefixedFiles(output + ".part-").remove() }

  private func isComplete(_ record: PartRecord) -> Bool {
    !record.contents.isEmpty && record.contents.allSatisfy { (try? DataDigest.ofFile(path($0.key))) == $0.value }
  }

  private func name(_ path: String) -> String { URL(filePath: path).lastPathComponent }

  private func path(_ name: String) -> String {
    output.lastIndex(of: "/").map { output[...$0] + name } ?? name
  }
}
