import Files
import GGUF
import Tensors

/// The sharing of a rewriting by several processes.
public enum RewriteParts: Sendable {
  /// Writes the tensors of a part at their final offsets. The other parts write theirs into the same temporary files.
  /// The arguments are those of the command, for the record.
  case one(RunPart, arguments: [String])
  /// Checks that this many parts are complete, and gives the files their names.
  case join(count: Int)
}

extension RewriteGroup.Member {
  /// The tensors that this process writes.
  func chosen() throws -> Set<Int> {
    guard case .one(let part, _) = options.parts else { return Set(plan.source.tensors.indices) }
    guard plan.container == nil else {
      throw QuantizeError.unsupported("\(path): parts are written of GGUF files, not of MLX directories")
    }
    guard options.identity != nil, part.count <= plan.source.tensors.count else {
      throw PartsError.tooMany(count: part.count, units: plan.source.tensors.count, unit: "tensors")
    }
    return options.chosen ?? Set(part.range(ofWork: plan.source.tensors.map(\.shape.count)))
  }
}

extension RewriteGroup.Member {
  /// The bytes of some tensors' data.
  func bytes(of chosen: Set<Int>) -> Int {
    chosen.reduce(0) { $0 + (plan.source.tensors[$1].shape.bytes(as: plan.types[$1]) ?? 0) }
  }
}

extension RewriteFile {
  /// Makes the journal of a part that is finished from its record, so that a repeated run only checks its tensors.
  static func prepareRepeating(_ part: RunPart, _ path: String, _ identity: RunIdentity) throws {
    guard let record = try PartRecord(of: part, beside: path) else { return }
    let journal = try RunJournal(output: PartRecord.prefix(path, part), identity: identity, restart: false)
    for (name, sum) in record.contents.sorted(by: { $0.key < $1.key }) where journal.entries[name] == nil {
      try journal.record(name, sha256: sum)
    }
  }

  /// Makes the journal of a run that has written all tensors, from the records of the parts. The run that continues it
  /// compares every tensor with its SHA-256.
  static func prepareJoining(_ count: Int, _ path: String, _ identity: RunIdentity) throws {
    let parts = try JoinedParts(beside: path, count: count)
    try parts.require(identity, output: path)
    let journal = try RunJournal(output: path, identity: identity, restart: false)
    for record in parts.records {
      for (name, sum) in record.contents.sorted(by: { $0.key < $1.key }) where journal.entries[name] == nil {
        try journal.record(name, sha256: sum)
      }
    }
  }
}
