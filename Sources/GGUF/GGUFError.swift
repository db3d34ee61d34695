/// Why a GGUF can't be read: the file, what in it (a key, a tensor), the byte, and the reason.
public struct GGUFError: Error, Equatable, Sendable, CustomStringConvertible {
  public let path: String
  /// `key general.alignment`, `tensor blk.0.attn_q.weight`; nil where the header itself is at fault.
  public let subject: String?
  /// Byte offset in the file, where there is one.
  public let offset: Int?
  public let reason: String
  public let hint: String?

  public init(path: String, subject: String? = nil, offset: Int? = nil, _ reason: String, hint: String? = nil) {
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
