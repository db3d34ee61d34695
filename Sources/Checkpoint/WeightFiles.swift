import Files

/// The safetensors files that together hold one model.
enum WeightFiles: Sendable {
  /// One file.
  case file(String)
  /// The shards that an index names.
  case index(WeightIndex)
  /// The shards of one set, without an index.
  case shards(ShardSet)

  /// The file name with which a user selects these files.
  var representative: String {
    switch self {
    case .file(let name): name
    case .index(let index): index.name
    case .shards(let set): set.files[0]
    }
  }

  /// For messages: `model.safetensors.index.json (3 shards)`.
  var description: String {
    switch self {
    case .file(let name): name
    case .index(let index): "\(index.name) (\(index.shards.count == 1 ? "one file" : "\(index.shards.count) shards"))"
    case .shards(let set): "\(set.files[0]) (\(set.files.count == 1 ? "the only shard" : "\(set.files.count) shards"))"
    }
  }

  /// The files that hold tensors.
  var files: [String] {
    switch self {
    case .file(let name): [name]
    case .index(let index): index.shards
    case .shards(let set): set.files
    }
  }
}

/// `model.safetensors.index.json`, which maps tensors to shards.
struct WeightIndex: Sendable {
  let name: String
  let path: String
  let shardByTensor: [String: String]
  /// Sorted.
  let shards: [String]

  init(_ name: String, in directory: String) throws {
    self.name = name
    path = directory + "/" + name
    let file = path
    func failure(_ reason: String) -> FormatError {
      FormatError(
        path: file, subject: "key weight_map", reason,
        hint: "download it again; or name a safetensors file beside it, which is then read without it")
    }
    let root: JSONValue
    do {
      root = try JSONValue.read(path)
    } catch let error as FormatError where error.hint == nil {
      throw FormatError(path: path, offset: error.offset, error.reason, hint: failure("").hint)
    }
    guard let map = root["weight_map"]?.object, !map.isEmpty else { throw failure("is missing, or empty") }
    shardByTensor = try map.mapValues { value throws -> String in
      // A name with a slash would be outside the directory.
      guard let name = value.string, !name.contains("/"), name != "..", name.hasSuffix(".safetensors") else {
        throw failure("names a shard that is not a safetensors file of this directory")
      }
      return name
    }
    shards = Set(shardByTensor.values).sorted()
  }
}

/// The shards of one set: `model-00001-of-00007.safetensors` and so on.
struct ShardSet: Sendable {
  /// In the order of their numbers.
  let files: [String]
  /// The names of shards that do not exist.
  let missing: [String]

  /// The sets of existing shards whose names begin with `prefix` and a hyphen.
  static func all(_ prefix: String, in listing: DirectoryListing) -> [ShardSet] {
    var sets: [Substring: [(number: Int, digits: Int, name: String)]] = [:]
    for name in listing.names where listing.has(name) {
      guard let (filePrefix, number, count) = parts(of: name), filePrefix == prefix, let value = Int(number) else {
        continue
      }
      sets[count, default: []].append((value, number.count, name))
    }
    return sets.sorted { $0.key < $1.key }.compactMap { count, files in
      // The largest models have 200 shards.
      guard let total = Int(count), (1...100_000).contains(total) else { return nil }
      let files = files.sorted { ($0.number, $0.name) < ($1.number, $1.name) }
      // Some writers count from zero.
      let first = files[0].number == 0 && files.last!.number < total ? 0 : 1
      let present = Set(files.map(\.number))
      let missing = (first..<first + total).filter { !present.contains($0) }.map { number in
        let digits = String(number)
        let zeros = String(repeating: "0", count: max(0, files[0].digits - digits.count))
        return "\(prefix)-\(zeros)\(digits)-of-\(count).safetensors"
      }
      guard present.count == files.count, present.allSatisfy({ $0 >= first && $0 < first + total }) else { return nil }
      return ShardSet(files: files.map(\.name), missing: missing)
    }
  }

  /// The prefix, number and count of a shard's name; nil for other names.
  static func parts(of name: String) -> (prefix: Substring, number: Substring, count: Substring)? {
    guard let match = name.wholeMatch(of: /(.+)-([0-9]{1,9})-of-([0-9]{1,9})\.safetensors/) else { return nil }
    return (match.1, match.2, match.3)
  }
}
