import Files

/// Decides which of the two matrices that config.json may tie are read: the embeddings, the head, or both.
///
/// `transformers` ties them only if one is missing or both are equal. Fine-tunes that train the head may leave
/// `tie_word_embeddings` true, so the stored values decide.
enum TiedEmbeddings {
  static let embeddings = "model.embed_tokens.weight"
  static let head = "lm_head.weight"

  struct Outcome {
    /// The head is kept although config.json ties it.
    var keepsHead = false
    var note: CheckpointNote?
  }

  /// Removes or renames the two matrices in `stored`, so that it holds those that the model uses.
  ///
  /// If config.json ties them and both are stored, compares them up to the first difference.
  static func resolve(_ stored: inout SafetensorsSet, _ config: Config) throws -> Outcome {
    guard config["tie_word_embeddings"]?.bool == true else {
      if stored[head] == nil, let present = stored[embeddings] { throw missing(head, beside: present) }
      if stored[embeddings] == nil, let present = stored[head] { throw missing(embeddings, beside: present) }
      return Outcome()
    }
    // DeepSpeed stores a matrix that it did not gather as an empty tensor.
    let embeddings = stored[Self.embeddings].flatMap { $0.count > 0 ? $0 : nil }
    guard let head = stored[Self.head], head.count > 0 else {
      stored.remove(Self.head)
      return Outcome()
    }
    guard let embeddings else {
      stored.rename(Self.head, to: Self.embeddings)
      return Outcome(note: .embeddingsFromHead)
    }
    func failure(_ reason: String, hint: String) -> FormatError {
      FormatError(path: head.file.path, subject: "tensor \(Self.head)", reason, hint: hint)
    }
    guard head.shape == embeddings.shape else {
      throw failure(
        "has shape \(head.shape), and the embeddings that config.json ties it to have \(embeddings.shape)",
        hint: "head and embeddings are of different vocabularies: remove the one that is out of date, or resize it")
    }
    // Types that can't hold weights are refused later, by ``AssembledTensor``.
    guard head.holdsWeights, embeddings.holdsWeights else {
      return Outcome(keepsHead: true)
    }
    if let removed = head.removedShard ?? embeddings.removedShard {
      // They were compared before.
      if !removed.modelHasHead { stored.remove(Self.head) }
      return Outcome(keepsHead: removed.modelHasHead)
    }
    guard let row = try head.firstDifference(from: embeddings) else {
      stored.remove(Self.head)
      return Outcome()
    }
    return Outcome(keepsHead: true, note: .keptHead(row: row))
  }

  private static func missing(_ name: String, beside present: StoredTensor) -> FormatError {
    FormatError(
      path: present.file.path, subject: "tensor \(name)",
      "is missing, and config.json does not tie it to \(present.name)",
      hint: "the download is incomplete; or, if the model is tied, set tie_word_embeddings to true in config.json")
  }
}
