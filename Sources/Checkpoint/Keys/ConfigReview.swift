import Foundation

/// The findings on the keys of a config.json.
public struct ConfigReview: Sendable, Equatable {
  /// The path of config.json.
  public let path: String
  /// Keys with an unknown meaning, in alphabetical order.
  public let unknown: [String]
  /// Keys that the caller chose to ignore, with their values.
  public let ignored: [RefusedKey]
  /// The sliding window in tokens that the GGUF does not have: results are exact for texts up to this length. Nil if
  /// there is none.
  public let window: Int?
  /// The key that declares fractions as YaRN's bounds, which readers of the GGUF round to whole dimensions; nil if there is
  /// none.
  public let roundedBounds: String?
  /// The key that declares YaRN's first bound as 1, in whose place readers of the GGUF take 32; nil if there is none.
  public let replacedBeta: String?
  /// The keys that describe towers of vision and audio, which are left out.
  public let towers: [String]

  /// The keys of a directory's config.json that may be ignored: those with refused values, and a limiting window.
  ///
  /// - Parameter path: the directory, or a file of its weights.
  /// - Throws: `FormatError` if config.json can't be read or its architecture is unknown.
  public static func ignorableKeys(path: String) throws -> [String] {
    let location = try ModelLocation(path)
    let listing = DirectoryListing(path: location.directory)
    guard listing.names.contains("config.json") || MistralForm.isRead(listing, chosen: location.weights) else {
      return []
    }
    let given = try Config.read(in: location.directory, weights: location.weights)
    let (architecture, config) = try Architectures.resolved(given)
    return config.ignorable(architecture).map(\.name)
  }
}

/// Keys of config.json that change the model's output and are not supported.
public struct RefusedConfig: Error, Equatable, Sendable, CustomStringConvertible {
  /// The path of config.json.
  public let path: String
  /// The keys, with their values and the reasons.
  public let keys: [RefusedKey]

  /// One line with the keys, their values and the reasons.
  public var description: String {
    "\(path): " + keys.map { "key \($0.name): is \($0.value); \($0.reason)" }.joined(separator: "; ")
  }
}

/// A key to ignore is missing from config.json, or its value is supported.
public struct UnneededIgnoring: Error, Equatable, Sendable, CustomStringConvertible {
  /// The path of config.json, or of a model that has none.
  public let path: String
  /// The key that was given.
  public let key: String
  /// The keys that could be ignored.
  public let refused: [String]

  /// - Parameter refused: the keys that could be ignored, for a hint.
  public init(path: String, key: String, refused: [String] = []) {
    self.path = path
    self.key = key
    self.refused = refused
  }

  /// One line with path and key.
  public var description: String { "\(path): key \(key) does not need to be ignored" }
}

extension Config {
  /// Checks every key, and returns the configuration without the ignored ones.
  ///
  /// - Parameter ignoring: names of refused keys, or of the objects that hold them.
  /// - Throws: ``RefusedConfig``, ``UnneededIgnoring``, and `FormatError` for a value of the wrong kind.
  func reviewed(
    _ architecture: any CheckpointArchitecture.Type, ignoring: [String]
  ) throws -> (config: Config, review: ConfigReview) {
    let ignorable = ignorable(architecture)
    var ignored: [RefusedKey] = []
    var config = self
    for name in ignoring {
      let matching = ignorable.filter { $0.name == name || $0.name.hasPrefix(name + ".") }
      guard !matching.isEmpty else {
        throw UnneededIgnoring(path: path, key: name, refused: ignorable.map(\.name))
      }
      for key in matching where !ignored.contains(key) {
        ignored.append(key)
        if !key.shapesTensors { config = config.without(key.name) }
      }
    }
    try config.checkKinds()
    // Removing a key may change the meaning of others. Only keys that the unchanged file makes refusable count.
    let names = Set(ignorable.map(\.name)).subtracting(ignored.map(\.name))
    let remaining = config.refused(architecture).filter { names.contains($0.name) }
    guard remaining.isEmpty else { throw RefusedConfig(path: path, keys: remaining) }
    return (
      config,
      ConfigReview(
        path: path, unknown: unknown(to: KeyTable.shared.adding(architecture.keys)), ignored: ignored,
        window: architecture.window(config), roundedBounds: config.roundedBounds,
        replacedBeta: architecture.replacesBeta ? config.replacedBeta : nil, towers: towers)
    )
  }

  /// `truncate` where it is false.
  private var roundedBounds: String? {
    let (name, parameters) = RopeConfig.parameters(of: self)
    guard RopeConfig.type(of: parameters) == "yarn", parameters["truncate"]?.bool == false else { return nil }
    return "\(name).truncate"
  }

  /// `beta_fast` where it is 1.
  private var replacedBeta: String? {
    let (name, parameters) = RopeConfig.parameters(of: self)
    guard RopeConfig.type(of: parameters) == "yarn", parameters["beta_fast"]?.double == 1 else { return nil }
    return "\(name).beta_fast"
  }

  private func refused(_ architecture: any CheckpointArchitecture.Type) -> [RefusedKey] {
    let keys = architecture.keys
    let shared = KeyTable.shared.rules.flatMap { $0.refused(self, architecture.ggufName) }
    let found =
      shared.filter { !keys.honoured.contains($0.name) }
      + (keys.rules + KeyRule.contradictions).flatMap { $0.refused(self, architecture.ggufName) }
    return found.map { $0.renamed(title($0.name)) }
  }

  /// The refused keys, and the window that limits the length of texts.
  fileprivate func ignorable(_ architecture: any CheckpointArchitecture.Type) -> [RefusedKey] {
    let window = architecture.window(self).map { RefusedKey("sliding_window", "\($0)", "texts may be longer") }
    return refused(architecture) + [window].compactMap { $0 }
  }

  /// Keys that are not in `table`, and unknown rotary parameters. Keys with the value null are skipped.
  private func unknown(to table: KeyTable) -> [String] {
    let known = table.honoured.union(table.harmless).union(table.rules.flatMap(\.names))
    let keys = self.keys.filter { !known.contains($0) && !$0.hasPrefix("_") && self[$0] != nil }
    let (name, parameters) = RopeConfig.parameters(of: self)
    let inner = (parameters.object ?? [:]).filter { $1 != .null && !KeyRule.ropeKeys.contains($0) }.keys
    return (keys + inner.map { "\(name).\($0)" }).sorted()
  }
}
