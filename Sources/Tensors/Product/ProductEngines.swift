#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The choice of an engine: that of the platform, unless the environment names another.
public enum ProductEngines {
  /// The environment variable that names an engine.
  public static let variable = "QTOOL_PRODUCT"
  /// Every engine, packed first.
  public static let all: [any ProductEngine] = [PackedProduct(), BLASProduct()]

  /// The engine that the environment names, else the platform's.
  ///
  /// - Throws: ``UnknownProductEngine``
  public static func chosen() throws(UnknownProductEngine) -> any ProductEngine {
    guard let value = getenv(variable), value[0] != 0 else { return platform }
    return try named(String(cString: value))
  }

  /// - Throws: ``UnknownProductEngine``
  public static func named(_ name: String) throws(UnknownProductEngine) -> any ProductEngine {
    guard let engine = all.first(where: { $0.name == name }) else { throw UnknownProductEngine(name: name) }
    return engine
  }
}

/// The environment names a product engine that does not exist.
public struct UnknownProductEngine: Error, Equatable {
  /// The value of the environment variable.
  public let name: String

  /// An error that names the value.
  public init(name: String) { self.name = name }
}
