/// Why a Hugging Face directory is no model: the file, what in it (a tensor, a key), the byte, and the reason.
public struct CheckpointError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Sendable { case data, missing }

  public let kind: Kind
  public let path: String
  public let subject: String?
  public let offset: Int?
  public let reason: String
  public let hint: String?

  public init(
    _ kind: Kind = .data, path: String, subject: String? = nil, offset: Int? = nil, _ reason: String,
    hint: String? = nil
  ) {
    self.kind = kind
    self.path = path
    self.subject = subject
    self.offset = offset
    self.reason = reason
    self.hint = hint
  }

  public var description: String {
    var text = path
    if let offset { text += ": at byte \(offset)" }
    if let subject { text += ": \(subject)" }
    return text + ": " + reason
  }
}
