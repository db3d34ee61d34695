import Blocks
import Files
import GGUF
import Synchronization
import Tensors

/// Writes several files of one model: every tensor is read and decoded once, and encoded once for all files that give it
/// the same type.
///
///     let members = plans.map { RewriteGroup.Member($0, path: "model-\($0.types[0]).gguf", options: options) }
///     let reports = try RewriteGroup(members).write()
///
/// Each file has the bytes that ``Rewriter`` writes, and its own journal. After an interruption, the next run continues
/// with all of them.
public struct RewriteGroup: Sendable {
  /// A file of the group.
  public struct Member: Sendable {
    let plan: RewritePlan
    let path: String
    let options: RewriteOptions
    let importance: Importance?
    let importanceKey: String

    /// - Parameters:
    ///   - path: the output; names of shards are derived from it.
    ///   - importance: nil to quantize without importance.
    ///   - importanceKey: the digest of the importance. Members with the same key share what they encode.
    public init(
      _ plan: RewritePlan, path: String, options: RewriteOptions, importance: Importance? = nil,
      importanceKey: String = ""
    ) {
      self.plan = plan
      self.path = path
      self.options = options
      self.importance = importance
      self.importanceKey = importance == nil ? "" : importanceKey
    }
  }

  private let members: [Member]
  private let encoder: RowEncoder

  /// - Parameter members: the files, all of one model. Their sources may hold its floats in several types, and must have the
  ///   same tensors (``canShare(_:_:)``).
  public init(_ members: [Member]) {
    precondition(!members.isEmpty, "a group without files")
    precondition(
      members.dropFirst().allSatisfy { Self.canShare(members[0].plan.source, $0.plan.source) },
      "sources of other tensors")
    self.members = members
    encoder = RowEncoder(source: members[0].plan.source, chunkBytes: members[0].plan.chunkBytes)
  }

  /// Whether two forms of a model have the same tensors in the same order, so that rows of one serve both.
  public static func canShare(_ one: any ModelSource, _ other: any ModelSource) -> Bool {
    one.tensors.map(\.name) == other.tensors.map(\.name) && one.tensors.map(\.shape) == other.tensors.map(\.shape)
  }

  /// Writes all files. They appear under their names when all of them are complete.
  ///
  /// - Parameters:
  ///   - progress: is told of every chunk; its steps are tensors. A pause is possible after every tensor.
  ///   - first: encodes any tensors by other means; the remaining ones are encoded afterwards. It gets the session of each
  ///     file; nil for those that an earlier run completed.
  /// - Returns: the members' reports, in their order.
  /// - Throws: ``QuantizeError``, `FileError`, and what reading the source throws.
  public func write(
    progress: any RunObserver = NoObserver(), first: ([RewriteSession?]) throws -> Void = { _ in }
  ) throws -> [RewriteReport] {
    var files: [RewriteFile] = []
    do {
      for member in members { files.append(try RewriteFile(member)) }
      for file in files { try file.open(progress) }
      try requireSpace(files)
      let open = files.filter { !$0.isComplete }
      // Files that are complete have all tensors.
      for file in files where file.isComplete { try file.release(Set(file.plan.source.tensors.indices)) }
      do {
        for file in open where removal != nil {
          file.session?.release = { [unowned file] indices in
            try encodeAll([file], progress, only: indices)
            try file.release(file.session?.written ?? [])
          }
        }
        defer { for file in open { file.session?.release = nil } }
        try first(files.map { $0.isComplete ? nil : $0.session })
        try encodeAll(open, progress)
      } catch {
        // Write the rows that were encoded before the failure, unless the disk failed.
        var failure = error
        for file in open {
          do { _ = try file.output?.finish() } catch { failure = error }
        }
        throw failure
      }
      for file in open { try file.finish() }
      for file in open { try file.commit() }
      for file in files { file.removeJournal() }
      return files.map(\.report)
    } catch {
      for file in files { file.fail(error) }
      throw error
    }
  }

  /// Refuses files that fit on the disk one by one, but not together.
  private func requireSpace(_ files: [RewriteFile]) throws {
    func folder(_ file: RewriteFile) -> Substring {
      file.path[..<(file.path.lastIndex(of: "/") ?? file.path.startIndex)]
    }
    if let removal {
      let open = files.filter { !$0.isComplete && $0.unallocatedBytes > 0 }
      let bytes = encoder.source.tensors.indices.map { index in
        open.reduce(0) { $0 + ($1.plan.source.tensors[index].shape.bytes(as: $1.plan.types[index]) ?? 0) }
      }
      let written = open.reduce(0) { $0 + $1.plan.totalBytes - $1.unallocatedBytes }
      let peak = removal.peak(bytes) { (try? PositionedFile(path: $0).size) ?? 0 }
      return try OutputFile.requireSpace(peak - written, for: files[0].path)
    }
    for (_, files) in Dictionary(grouping: files, by: folder) where files.count > 1 {
      try OutputFile.requireSpace(files.reduce(0) { $0 + $1.unallocatedBytes }, for: files[0].path)
    }
  }

  // MARK: tensors

  private var removal: SourceRemoval? { members[0].options.removal }

  /// - Parameter only: the tensors to encode; nil for all.
  private func encodeAll(
    _ files: [RewriteFile], _ progress: any RunObserver, only: Set<Int>? = nil
  ) throws {
    let total = max(1, files.reduce(0) { $0 + $1.plan.totalBytes })
    var written = files.reduce(0) { $0 + ($1.session?.writtenBytes ?? 0) }
    let tensors = encoder.source.tensors
    func advance(_ index: Int, _ tensor: TensorInfo) throws {
      try progress.advance(
        RunProgress(
          fraction: Double(written) / Double(total), step: index, stepCount: tensors.count, detail: tensor.name))
    }
    for (index, tensor) in tensors.enumerated() where only?.contains(index) != false {
      defer { for file in files where file.chosen.contains(index) { file.session?.note(written: index) } }
      var pending: [(file: RewriteFile, form: RowEncoder.Form)] = []
      // By key of the importance.
      var weights: [String: [Float]?] = [:]
      for file in files where file.chosen.contains(index) && file.session?.written.contains(index) == false {
        let type = file.plan.types[index]
        guard let rowBytes = type.rowBytes(columns: tensor.shape.columns) else {
          throw QuantizeError.notEncodable(tensor: tensor.name, type: type)
        }
        var form = RowEncoder.Form(type: type)
        if type.isQuantized, type != file.plan.source.tensors[index].type, let importance = file.importance {
          let key = file.importanceKey
          if weights[key] == nil { weights[key] = .some(try encoder.weights(of: tensor, importance)) }
          form.weights = weights[key] ?? nil
          if form.weights == nil { file.report.withoutImportance.append(tensor.name) }
          form.key = form.weights == nil ? "" : key
        }
        if try file.inherits(index) {
          written += tensor.shape.rows * rowBytes
          try advance(index, tensor)
        } else {
          pending.append((file, form))
        }
      }
      if !pending.isEmpty {
        try encode(index, for: pending) { bytes in
          written += bytes
          try advance(index, tensor)
        }
      }
      if only == nil, removal != nil {
        for file in files { try file.release((file.session?.written ?? []).union([index])) }
      }
      if pending.isEmpty { continue }
      do { try progress.pause() } catch { throw Paused(reason: error) }
    }
  }

  /// Encodes a tensor for some files.
  private func encode(
    _ index: Int, for files: [(file: RewriteFile, form: RowEncoder.Form)], wrote: (Int) throws -> Void
  ) throws {
    let tensor = encoder.source.tensors[index]
    var forms: [RowEncoder.Form] = []
    // The type that a file's source has, in which rows are copied.
    func copies(_ file: RewriteFile, _ form: RowEncoder.Form) -> Bool {
      form.type == file.plan.source.tensors[index].type
    }
    for (file, form) in files where !copies(file, form) && !forms.contains(form) { forms.append(form) }
    var copiers: [GGMLType: RowEncoder] = [:]
    for (file, form) in files where copies(file, form) && copiers[form.type] == nil {
      copiers[form.type] = RowEncoder(source: file.plan.source, chunkBytes: encoder.chunkBytes)
    }
    for rows in encoder.chunks(of: tensor) {
      let copied = try copiers.mapValues { try $0.copy(rows, of: $0.source.tensors[index]) }
      let encoded = forms.isEmpty ? nil : try encoder.encode(rows, of: tensor, in: forms)
      for (file, form) in files {
        let position = copies(file, form) ? nil : forms.firstIndex(of: form)
        let bytes = position.flatMap { encoded?.bytes[$0] } ?? copied[form.type] ?? []
        try file.output?.write(bytes, tensor: index, row: rows.lowerBound)
        if let position, let replaced = encoded?.replaced[position], replaced > 0 {
          file.report.replacedImportance[tensor.name, default: 0] += replaced
        }
        try wrote(bytes.count)
      }
    }
    let samples = SampleRows(encoder, tensor, forms)
    for (file, form) in files {
      let path = file.firstPath
      let copier = copies(file, form) ? copiers[form.type] : nil
      try file.output?.end(tensor.name) { try samples.check(index, in: form, copier, $0, path: path) }
    }
  }
}

/// Some rows of a tensor, which are read and encoded again to check what was written. All files of a group share them.
private final class SampleRows: Sendable {
  private let encoder: RowEncoder
  private let tensor: TensorInfo
  private let forms: [RowEncoder.Form]
  /// By row, the bytes of every form.
  private let encoded = Mutex<[Int: [[UInt8]]]>([:])

  init(_ encoder: RowEncoder, _ tensor: TensorInfo, _ forms: [RowEncoder.Form]) {
    self.encoder = encoder
    self.tensor = tensor
    self.forms = forms
  }

  /// Reads rows back: the bytes must be those of the source encoded anew, and decode to finite numbers.
  ///
  /// - Parameter copier: reads rows that were copied; nil for encoded ones.
  func check(
    _ index: Int, in form: RowEncoder.Form, _ copier: RowEncoder?, _ writer: any TensorWriter, path: String
  ) throws {
    let type = form.type
    guard let rowBytes = type.rowBytes(columns: tensor.shape.columns), rowBytes > 0, tensor.shape.rows > 0 else {
      return
    }
    for row in Set([0, tensor.shape.rows / 2, tensor.shape.rows - 1]).sorted() {
      var written = [UInt8](repeating: 0, count: rowBytes)
      var span = written.mutableSpan
      var raw = span.mutableBytes
      try writer.read(into: &raw, tensor: index, row: row)
      guard try written == expected(row, in: form, copier, index),
        !type.isQuantized || firstNonFiniteBlock(written.span.bytes, as: type) == nil
      else {
        throw QuantizeError.writtenWrong(path: path, tensor: tensor.name, row: row)
      }
    }
  }

  private func expected(
    _ row: Int, in form: RowEncoder.Form, _ copier: RowEncoder?, _ tensorIndex: Int
  ) throws -> [UInt8] {
    if let copier { return try copier.copy(row..<row + 1, of: copier.source.tensors[tensorIndex]) }
    guard let index = forms.firstIndex(of: form) else { preconditionFailure("no rows in \(form.type)") }
    return try encoded.withLock { encoded in
      if let bytes = encoded[row] { return bytes[index] }
      let bytes = try encoder.encode(row..<row + 1, of: tensor, in: forms).bytes
      encoded[row] = bytes
      return bytes[index]
    }
  }
}
