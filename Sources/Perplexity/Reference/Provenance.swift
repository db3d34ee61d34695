import Files
import GGUF

/// What a reference was made of. Two measurements compare where all of it agrees.
public struct Provenance: Sendable, Equatable, Codable {
  /// The base model's name, for people; not compared.
  public let model: String
  /// The model's fingerprint in hexadecimal.
  public let modelFingerprint: String
  /// SHA-256 of the tokenizer's metadata in hexadecimal.
  public let tokenizerDigest: String
  /// SHA-256 of the texts, one after the other.
  public let textDigest: String
  /// Tokens in a window.
  public let context: Int
  /// Tokens of the vocabulary.
  public let vocabulary: Int

  public init(
    model: String, modelFingerprint: String, tokenizerDigest: String, textDigest: String, context: Int, vocabulary: Int
  ) {
    self.model = model
    self.modelFingerprint = modelFingerprint
    self.tokenizerDigest = tokenizerDigest
    self.textDigest = textDigest
    self.context = context
    self.vocabulary = vocabulary
  }

  /// - Parameter texts: the texts' bytes, in their order.
  public init(of model: any ModelSource, texts: [[UInt8]], context: Int, vocabulary: Int) throws {
    self.init(
      model: model.name, modelFingerprint: try ModelFingerprint(of: model).hex,
      tokenizerDigest: ModelFingerprint.tokenizerDigest(of: model.metadata), textDigest: Self.digest(of: texts),
      context: context, vocabulary: vocabulary)
  }

  /// SHA-256 in hexadecimal. Each text's length goes in front of it, so that texts can't be cut elsewhere.
  public static func digest(of texts: [[UInt8]]) -> String {
    var hash = DataDigest()
    for text in texts {
      var length: [UInt8] = []
      length.append(littleEndian: UInt64(text.count))
      hash.update(length.span.bytes)
      hash.update(text.span.bytes)
    }
    return hash.hex()
  }

  /// Refuses what differs, naming the first field that does. Fields that the caller doesn't know are nil.
  public func require(
    path: String, modelFingerprint: String? = nil, tokenizerDigest: String? = nil, textDigest: String? = nil,
    context: Int? = nil, vocabulary: Int? = nil
  ) throws(ReferenceError) {
    func check(_ field: String, _ own: String, _ given: String?) throws(ReferenceError) {
      if let given, given != own { throw .mismatch(path: path, field: field, reference: own, given: given) }
    }
    try check("vocabulary size", String(self.vocabulary), vocabulary.map(String.init))
    try check("tokenizer digest", self.tokenizerDigest, tokenizerDigest)
    try check("context size", String(self.context), context.map(String.init))
    try check("text digest", self.textDigest, textDigest)
    try check("model fingerprint", self.modelFingerprint, modelFingerprint)
  }
}
