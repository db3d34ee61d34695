#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Chooses a product engine: the platform's, unless the environment names another.
public enum ProductEngines {
  /// The environment variable that names an engine.
  public static let variable = "QTOOL_PRODUCT"
  /// All engines.
  public static let all: [any ProductEngine] = [PackedProduct(), BLASProduct()]

  /// The engine that the environment names, or the platform's.
  public static func chosen() throws(UnknownProductEngine) -> any ProductEngine {
    guard let value = getenv(variable), value[0] != 0 else { return platform }
    return try named(String(cString: value))
  }

  package static func named(_ name: String) throws(UnknownProductEngine) -> any ProductEngine {
    guard let engine = all.first(where: { $0.name == name }) else { throw UnknownProductEngine(name: name) }
    return engine
  }
}

/// A name in the environment that no product engine has.
public struct UnknownProductEngine: Error, Equatable {
  /// The value of the environment variable.
  public let name: String

  package init(name: String) { self.name = name }
}
