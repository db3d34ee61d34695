import Files

/// Selects the safetensors files of a directory that are the model's weights.
///
/// `transformers` prefers model.safetensors to an index, and llama.cpp's converter takes every file that begins with
/// "model". Saving a model again into its directory removes neither a stale index nor a stale model.safetensors, so
/// both may read old files without a warning. Here, contradicting files are an error unless only one set is complete
/// and fits config.json.
struct WeightChoice {
  /// Complete sets of files; the first is the one that `transformers` takes.
  let candidates: [WeightFiles]
  let notes: [CheckpointNote]

  static let single = "model.safetensors"

  /// - Parameters:
  ///   - named: the file that the user or config.json chose.
  ///   - prefix: the beginning of the files' names.
  init(_ listing: DirectoryListing, named: String?, prefix: String = "model") throws {
    let (singleName, indexName) = ("\(prefix).safetensors", "\(prefix).safetensors.index.json")
    if let named {
      candidates = [try Self.files(named, in: listing)]
      notes = []
      return
    }
    let sets = ShardSet.all(prefix, in: listing)
    let complete = sets.filter(\.missing.isEmpty)
    let single = listing.has(singleName) ? [WeightFiles.file(singleName)] : []
    if let error = listing.danglingLink(indexName) { throw error }
    guard listing.has(indexName) else {
      candidates = single + complete.map { .shards($0) }
      guard let first = candidates.first else { throw Self.none(listing, sets, single: singleName) }
      var notes: [CheckpointNote] = []
      if case .shards(let set) = first { notes.append(.shardsByName(count: set.files.count)) }
      let leftOver = sets.filter { !$0.missing.isEmpty }.flatMap(\.files)
      if !leftOver.isEmpty { notes.append(.filesNotRead(leftOver)) }
      self.notes = notes
      return
    }
    let index = try WeightIndex(indexName, in: listing.path)
    let absent = index.shards.filter { !listing.has($0) }
    let others = complete.filter { Set($0.files) != Set(index.shards) }
    guard let firstAbsent = absent.first else {
      candidates =
        (index.shards.contains(singleName) ? [] : single) + [.index(index)] + others.map { .shards($0) }
      notes = []
      return
    }
    // The index is stale: any other complete set is the model.
    candidates = index.shards.contains(singleName) || single.isEmpty ? others.map { .shards($0) } : single
    guard let first = candidates.first else {
      if let error = listing.danglingLink(firstAbsent) { throw error }
      throw FormatError(
        .missing, path: listing.path + "/" + firstAbsent, subject: "key weight_map",
        "is named in \(indexName) and does not exist" + Self.count(absent, of: index.shards.count),
        hint: "the download is incomplete")
    }
    notes = [.staleIndex(missing: firstAbsent, read: first.description)]
  }

  /// The files that a chosen name selects.
  private static func files(_ name: String, in listing: DirectoryListing) throws -> WeightFiles {
    if let error = listing.danglingLink(name) { throw error }
    guard listing.has(name) else {
      throw FormatError(.missing, path: listing.path + "/" + name, "no such file", hint: "check the path")
    }
    if name.hasSuffix(".index.json") {
      let index = try WeightIndex(name, in: listing.path)
      guard let firstAbsent = index.shards.first(where: { !listing.has($0) }) else { return .index(index) }
      if let error = listing.danglingLink(firstAbsent) { throw error }
      throw FormatError(
        .missing, path: listing.path + "/" + firstAbsent, subject: "key weight_map",
        "is named in \(name) and does not exist",
        hint: "the download is incomplete")
    }
    guard let (prefix, _, _) = ShardSet.parts(of: name),
      let set = ShardSet.all(String(prefix), in: listing).first(where: { $0.files.contains(name) })
    else { return .file(name) }
    guard set.missing.isEmpty else { throw incomplete(set, listing) }
    return .shards(set)
  }

  private static func none(_ listing: DirectoryListing, _ sets: [ShardSet], single: String) -> FormatError {
    if let error = listing.danglingLink(single) { return error }
    guard let best = sets.min(by: { $0.missing.count < $1.missing.count }) else {
      return UnreadableDirectory(listing).error(lacking: .weights)
    }
    return incomplete(best, listing)
  }

  private static func incomplete(_ set: ShardSet, _ listing: DirectoryListing) -> FormatError {
    if let error = set.missing.lazy.compactMap({ listing.danglingLink($0) }).first { return error }
    return FormatError(
      .missing, path: listing.path + "/" + set.missing[0],
      "does not exist, and is a shard of the model" + count(set.missing, of: set.files.count + set.missing.count),
      hint: "the download is incomplete")
  }

  private static func count(_ missing: [String], of total: Int) -> String {
    missing.count == 1 ? "" : "; \(missing.count) of \(total) shards are missing"
  }

  /// The error for several complete models in one directory.
  func contradiction(in directory: String) -> FormatError {
    FormatError(
      path: directory,
      "holds the model more than once: " + candidates.map(\.description).joined(separator: " and "),
      hint: "name the one to read: "
        + candidates.map { directory + "/" + $0.representative }.joined(separator: " or ") + "; or remove the other")
  }
}
