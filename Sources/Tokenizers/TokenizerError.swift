/// Why a model's metadata makes no tokenizer.
public struct TokenizerError: Error, Equatable, Sendable, CustomStringConvertible {
  public let key: String
  public let reason: String
  public let hint: String?

  public init(key: String, _ reason: String, hint: String? = nil) {
    self.key = key
    self.reason = reason
    self.hint = hint
  }

  public var description: String { "key \(key): \(reason)" }
}
