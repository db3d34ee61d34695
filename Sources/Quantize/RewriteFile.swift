import Files
import GGUF
import Tensors

/// A file of a group while it is written: its journal, its temporary file and its report.
final class RewriteFile {
  let plan: RewritePlan
  let path: String
  let importance: Importance?
  let importanceKey: String
  /// Whether an earlier run completed the file, so that it has its final name already.
  let isComplete: Bool
  private let options: RewriteOptions
  private let journal: RunJournal?
  private var writer: (any TensorWriter)?
  private(set) var output: RewriteOutput?
  private(set) var session: RewriteSession?
  private var sums = TensorChecksums()
  /// The tensors that this process writes.
  let chosen: Set<Int>
  var report = RewriteReport()

  /// Opens the journal. Existing outputs are checked first, so that none of them leaves a journal.
  init(_ member: RewriteGroup.Member) throws {
    (plan, path, options) = (member.plan, member.path, member.options)
    (importance, importanceKey) = (member.importance, member.importanceKey)
    report.bytes = plan.totalBytes
    chosen = try member.chosen()
    guard let identity = options.identity else {
      (journal, isComplete) = (nil, false)
      return
    }
    if case .one(let part, _) = options.parts {
      report.bytes = member.bytes(of: chosen)
      try plan.check(path, overwrite: options.overwrite)
      try JoinedParts.requireOne(identity, count: part.count, beside: path)
      let restart = options.restart || !plan.isBegun(path)
      if !restart { try Self.prepareRepeating(part, path, identity) }
      journal = try RunJournal(output: PartRecord.prefix(path, part), identity: identity, restart: restart)
      isComplete = false
      return
    }
    if options.parts == nil { try JoinedParts.requireNone(beside: path) }
    if case .join(let count) = options.parts { try Self.prepareJoining(count, path, identity) }
    if !options.restart, plan.container == nil, let ended = Self.ended(member, identity, plan.shards.paths(path)) {
      (journal, sums, isComplete) = (ended.journal, ended.sums, true)
      report.resumedTensors = plan.source.tensors.count
      return
    }
    // Without the parts' data, joining would do all of their work again.
    if case .join(let count) = options.parts, !plan.isBegun(path) {
      throw PartsError.noData(output: path, count: count)
    }
    try plan.check(path, overwrite: options.overwrite)
    // A journal without data (after a crash between the last two steps of a run) is ignored.
    journal = try RunJournal(output: path, identity: identity, restart: options.restart || !plan.isBegun(path))
    isComplete = false
  }

  /// The journal and checksums of a file that an earlier run completed before all files of its group were complete; nil if
  /// there is no such file, or its data does not match.
  private static func ended(
    _ member: RewriteGroup.Member, _ identity: RunIdentity, _ paths: [String]
  ) -> (journal: RunJournal, sums: TensorChecksums)? {
    let tensors = member.plan.source.tensors
    guard RunJournal.isBegun(member.path),
      paths.allSatisfy({ FileIdentity(path: $0) != nil && !OutputFile.isBegun($0) }),
      let journal = try? RunJournal(output: member.path, identity: identity, restart: false),
      tensors.allSatisfy({ journal.inherited[$0.name] != nil })
    else { return nil }
    var sums = TensorChecksums()
    for tensor in tensors { if let sum = journal.inherited[tensor.name] { sums.add(sum, for: tensor.name) } }
    guard let file = try? GGUFFile(path: paths[0]), file.bytes == member.plan.totalBytes,
      (try? Verification(file, expected: sums).run()) != nil
    else { return nil }
    return (journal, sums)
  }

  /// Bytes that the file will still take on the disk.
  var unallocatedBytes: Int { (writer as? GGUFWriter)?.unallocatedBytes ?? 0 }

  /// The path of the first file that is written.
  var firstPath: String { writer?.paths.first ?? path }

  /// The file of parts is never cut, whoever created it; tensors are trusted by their SHA-256.
  private var inherited: [String: String] { isPart || writer?.isResumed == true ? journal?.inherited ?? [:] : [:] }

  /// Creates the temporary file, or opens that of an earlier run.
  func open(_ progress: any RunObserver) throws {
    guard !isComplete else { return }
    let writer: any TensorWriter =
      if isPart {
        try GGUFWriter(path: path, shards: plan.shards, overwrite: options.overwrite, shared: true)
      } else {
        try plan.writer(
          path, overwrite: options.overwrite, resuming: journal?.inherited.isEmpty == false,
          checksSpace: options.removal == nil)
      }
    self.writer = writer
    let output = RewriteOutput(writer, journal, keepsSums: options.checksums)
    self.output = output
    session = RewriteSession(
      plan, output: output, writer: writer, journal: journal, inherited: inherited, progress: progress)
  }

  /// Whether an earlier run wrote a tensor, and its bytes match the journal.
  func inherits(_ index: Int) throws -> Bool {
    let name = plan.source.tensors[index].name
    guard let sum = inherited[name], try writer?.digest(tensor: index) == sum else { return false }
    report.resumedTensors += 1
    try output?.add(sum, for: name)
    return true
  }

  /// Lets the source's files be removed whose tensors are all complete in this file. They are synced and compared with the
  /// journal first.
  func release(_ complete: Set<Int>) throws {
    guard let removal = options.removal else { return }
    let due = removal.isDue(path, with: complete)
    guard !due.isEmpty else { return }
    if !isComplete, let writer, let journal {
      _ = try output?.finish()
      try (writer as? GGUFWriter)?.sync()
      for index in due.values.reduce(into: Set<Int>(), { $0.formUnion($1) }).sorted() {
        let name = plan.source.tensors[index].name
        guard let sum = journal.entries[name], try writer.digest(tensor: index) == sum else {
          throw QuantizeError.writtenWrong(path: writer.paths[0], tensor: name, row: 0)
        }
      }
      try journal.sync()
      try OutputFile.syncFolder(path.lastIndex(of: "/").map { String(path[...$0]) } ?? ".")
    }
    for file in due.keys.sorted() { try removal.hold(file, by: path) }
  }

  /// Waits until all rows are written.
  func finish() throws {
    guard let output, let session else { return }
    sums = try output.finish().ordered(like: plan.source.tensors)
    report.resumedTensors += session.resumed
  }

  /// Gives the file its final name, or records the part.
  func commit() throws {
    // Even if the name can't be given.
    if options.removal?.hasBegun == true { writer?.keepTemporary() }
    if case .one(let part, let arguments) = options.parts, let journal, let identity = options.identity {
      try (writer as? GGUFWriter)?.sync()
      let names = Set(chosen.map { plan.source.tensors[$0].name })
      return try PartRecord(
        part: part, identity: identity, arguments: arguments,
        contents: journal.entries.filter { names.contains($0.key) }
      ).write(beside: path)
    }
    try writer?.commit()
    if options.checksums {
      try sums.write(to: firstPath + TensorChecksums.suffix, overwrite: options.overwrite || isComplete)
    }
  }

  /// Ends the run's record, when all files of the group are complete.
  func removeJournal() {
    if !options.keepsJournal { journal?.remove() }
    if case .join = options.parts { PrefixedFiles(path + ".part-").remove() }
  }

  /// Whether other processes write other tensors of the file.
  private var isPart: Bool { if case .one = options.parts { true } else { false } }

  /// Keeps what a later run can continue with, and removes the remaining files.
  func fail(_ error: any Error) {
    // The temporary file is that of all parts.
    guard !isComplete, !isPart else { return }
    // Removed tensors are nowhere else. Another output than that of the earlier run holds none of them.
    if options.removal?.hasBegun == true, journal?.entries.isEmpty == false {
      writer?.keepTemporary()
      return
    }
    let isKept = RunJournal.isWorthKeeping(after: error)
    if journal != nil, isKept { writer?.keepTemporary() } else { writer?.discardTemporary() }
    let lacksRoom = (error as? FileError)?.operation == .reserve
    if !isKept || (lacksRoom || writer == nil) && journal?.entries.isEmpty == true { journal?.remove() }
  }
}

extension TensorChecksums {
  /// In the order of the model's tensors, regardless of the order of writing.
  fileprivate func ordered(like tensors: [TensorInfo]) -> TensorChecksums {
    var result = TensorChecksums()
    for tensor in tensors { if let sum = self[tensor.name] { result.add(sum, for: tensor.name) } }
    return result
  }
}
