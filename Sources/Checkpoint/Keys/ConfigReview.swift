import Foundation

/// The findings on the keys of a config.json, before a model is made of it.
public struct ConfigReview: Sendable, Equatable {
  public let path: String
  /// Keys that nothing here knows, in alphabetical order: they may mean anything.
  public let unknown: [String]
  /// Keys that were to be ignored, with the values that they have.
  public let ignored: [RefusedKey]
  /// Attention of the model sees so many tokens back, and that of its GGUF all: they agree on texts up to this length.
  public let window: Int?

  /// The keys of a directory's config.json that stop a run unless they are ignored, or limit it.
  ///
  /// - Parameter path: the directory, or a file of its weights.
  public static func ignorableKeys(path: String) throws -> [String] {
    let path = try ModelLocation(path).directory + "/config.json"
    guard FileManager.default.fileExists(atPath: path) else { return [] }
    let config = try Config(path: path)
    let architecture = try Architectures.named(try config.architecture, path: config.path)
    return config.ignorable(architecture).map(\.name)
  }
}

/// Keys of config.json that change what the model computes and can't be honoured.
public struct RefusedConfig: Error, Equatable, Sendable, CustomStringConvertible {
  public let path: String
  public let keys: [RefusedKey]

  public var description: String {
    "\(path): " + keys.map { "key \($0.name): is \($0.value); \($0.reason)" }.joined(separator: "; ")
  }
}

/// A key was to be ignored that config.json gives no reason to ignore.
public struct UnneededIgnoring: Error, Equatable, Sendable, CustomStringConvertible {
  public let path: String
  public let key: String
  /// The keys that could be.
  public let refused: [String]

  public init(path: String, key: String, refused: [String] = []) {
    self.path = path
    self.key = key
    self.refused = refused
  }

  public var description: String { "\(path): key \(key) needs no ignoring" }
}

extension Config {
  /// Looks at every key, and gives the configuration without those that are ignored.
  ///
  /// - Parameter ignoring: names of refused keys, or of the objects that hold them.
  /// - Throws: ``RefusedConfig``, ``UnneededIgnoring``
  func reviewed(
    _ architecture: any Architecture.Type, ignoring: [String]
  ) throws -> (config: Config, review: ConfigReview) {
    let ignorable = ignorable(architecture)
    var ignored: [RefusedKey] = []
    var config = self
    for name in ignoring {
      let found = ignorable.filter { $0.name == name || $0.name.hasPrefix(name + ".") }
      guard !found.isEmpty else {
        throw UnneededIgnoring(path: path, key: name, refused: ignorable.map(\.name))
      }
      for key in found where !ignored.contains(key) {
        ignored.append(key)
        if !key.shapesTensors { config = config.without(key.name) }
      }
    }
    // Without a key that is ignored, others may mean something else; what counts is what the file says.
    let names = Set(ignorable.map(\.name)).subtracting(ignored.map(\.name))
    let left = config.refused(architecture).filter { names.contains($0.name) }
    guard left.isEmpty else { throw RefusedConfig(path: path, keys: left) }
    return (
      config,
      ConfigReview(
        path: path, unknown: unknown(to: KeyTable.shared.adding(architecture.keys)), ignored: ignored,
        window: architecture.window(config))
    )
  }

  private func refused(_ architecture: any Architecture.Type) -> [RefusedKey] {
    KeyTable.shared.adding(architecture.keys).rules.flatMap { $0.refused(self, architecture.ggufName) }
  }

  /// With the window that limits texts.
  fileprivate func ignorable(_ architecture: any Architecture.Type) -> [RefusedKey] {
    let window = architecture.window(self).map { RefusedKey("sliding_window", "\($0)", "texts may be longer") }
    return refused(architecture) + [window].compactMap { $0 }
  }

  /// Keys that a table does not have, and those inside the rotation's parameters. A key that holds null says nothing.
  private func unknown(to table: KeyTable) -> [String] {
    let known = table.honoured.union(table.harmless).union(table.rules.flatMap(\.names))
    let keys = self.keys.filter { !known.contains($0) && !$0.hasPrefix("_") && self[$0] != nil }
    let (name, parameters) = RopeConfig.parameters(of: self)
    let inner = (parameters.object ?? [:]).filter { $1 != .null && !KeyRule.ropeKeys.contains($0) }.keys
    return (keys + inner.map { "\(name).\($0)" }).sorted()
  }
}
