/// Metadata that does not define a usable tokenizer.
public struct TokenizerError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The GGUF key at fault.
  public let key: String
  /// The reason, worded to follow the key.
  public let reason: String
  /// A way to fix the problem.
  public let hint: String?

  init(key: String, _ reason: String, hint: String? = nil) {
    self.key = key
    self.reason = reason
    self.hint = hint
  }

  /// One line with the key and the reason.
  public var description: String { "key \(key): \(reason)" }
}
