/// config.json: the hyperparameters, by the names of the `transformers` package.
struct Config: Sendable {
  let path: String
  private let root: JSONValue

  init(path: String) throws {
    self.path = path
    root = try JSONValue.read(path, limit: 16 << 20)
    guard root.object != nil else { throw CheckpointError(path: path, "is no JSON object") }
  }

  subscript(key: String) -> JSONValue? {
    let value = root[key]
    return value == .null ? nil : value
  }

  private func missing(_ key: String, _ kind: String) -> CheckpointError {
    let reason = self[key] == nil ? "is missing" : "is not \(kind)"
    return CheckpointError(path: path, subject: "key \(key)", reason)
  }

  /// A positive integer that fits a GGUF's u32.
  func int(_ key: String) throws -> Int {
    guard let value = self[key]?.int, value > 0, value <= UInt32.max else { throw missing(key, "a positive integer") }
    return value
  }

  func int(_ key: String, default value: Int) throws -> Int { self[key] == nil ? value : try int(key) }

  func double(_ key: String) throws -> Double {
    guard let value = self[key]?.double else { throw missing(key, "a number") }
    return value
  }

  var architecture: String {
    get throws {
      guard let name = self["architectures"]?.array?.first?.string else {
        throw CheckpointError(path: path, subject: "key architectures", "does not name an architecture")
      }
      return name
    }
  }

  /// Rotary position parameters, in the newer form (`rope_parameters`) or the older (`rope_theta`, `rope_scaling`).
  var rope: Rope {
    let parameters = self["rope_parameters"] ?? self["rope_scaling"]
    let theta = parameters?["rope_theta"]?.double ?? self["rope_theta"]?.double ?? 10000
    let type = parameters?["rope_type"]?.string ?? parameters?["type"]?.string
    return Rope(theta: theta, type: type ?? "default", parameters: parameters ?? .null)
  }

  struct Rope: Sendable {
    let theta: Double
    let type: String
    let parameters: JSONValue

    func double(_ key: String) -> Double? { parameters[key]?.double }
  }
}
