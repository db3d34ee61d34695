import Files
import GGUF

/// The inputs of a reference. Two measurements are comparable if all fields agree.
public struct Provenance: Sendable, Equatable, Codable {
  /// The base model's name, which is not compared.
  public let model: String
  /// The model's fingerprint in hexadecimal.
  let modelFingerprint: String
  /// SHA-256 of the tokenizer's metadata in hexadecimal.
  let tokenizerDigest: String
  /// SHA-256 of the texts in hexadecimal, from ``digest(of:)``.
  let textDigest: String
  /// The tokens of a window.
  public let context: Int
  /// The number of tokens of the vocabulary.
  let vocabulary: Int

  /// A provenance with these fields.
  package init(
    model: String, modelFingerprint: String, tokenizerDigest: String, textDigest: String, context: Int, vocabulary: Int
  ) {
    self.model = model
    self.modelFingerprint = modelFingerprint
    self.tokenizerDigest = tokenizerDigest
    self.textDigest = textDigest
    self.context = context
    self.vocabulary = vocabulary
  }

  /// The provenance of a reference to compute.
  ///
  /// - Parameter texts: the texts' bytes, in their order.
  /// - Throws: errors of reading the model.
  public init(of model: any ModelSource, texts: [[UInt8]], context: Int, vocabulary: Int) throws {
    self.init(
      model: model.name, modelFingerprint: try ModelFingerprint(of: model).hex,
      tokenizerDigest: ModelFingerprint.tokenizerDigest(of: model.metadata), textDigest: Self.digest(of: texts),
      context: context, vocabulary: vocabulary)
  }

  /// SHA-256 of texts in hexadecimal. Each text is preceded by its length, so that other divisions have other digests.
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

  /// Checks that fields are equal; nil skips a field.
  ///
  /// - Throws: ``ReferenceError/mismatch(path:field:reference:given:)`` with the first field that differs.
  public func require(
    path: String, modelFingerprint: String? = nil, tokenizerDigest: String? = nil, textDigest: String? = nil,
    context: Int? = nil, vocabulary: Int? = nil
  ) throws(ReferenceError) {
    func check(_ field: String, _ recorded: String, _ given: String?) throws(ReferenceError) {
      if let given, given != recorded { throw .mismatch(path: path, field: field, reference: recorded, given: given) }
    }
    try check("vocabulary size", String(self.vocabulary), vocabulary.map(String.init))
    try check("tokenizer digest", self.tokenizerDigest, tokenizerDigest)
    try check("context size", String(self.context), context.map(String.init))
    try check("text digest", self.textDigest, textDigest)
    try check("model fingerprint", self.modelFingerprint, modelFingerprint)
  }
}
