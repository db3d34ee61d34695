import Checkpoint
import Files
import GGUF
import Tensors
import TestSupport
import Testing

/// A stored head that differs from the embeddings is kept, even if config.json ties them.
@Suite struct TiedEmbeddingsTests {
  static let (embeddings, head) = ("model.embed_tokens.weight", "lm_head.weight")

  /// A model of 272 tokens, 32 wide, with tied embeddings. `change` modifies its tensors, whose embeddings and head are
  /// equal.
  private func model(
    _ name: String = "llama2", ties: Bool = true, _ change: (inout SafetensorsContent) throws -> Void = { _ in }
  ) throws -> DemoCopy {
    let model = try ReferenceModel.copy(name)
    try model.set("tie_word_embeddings", ties)
    try model.edit {
      $0[Self.head] = $0[Self.embeddings]
      try change(&$0)
    }
    return model
  }

  private func rows(_ name: String, of model: CheckpointDirectory) throws -> [Float] {
    let tensor = try #require(model.tensor(named: name))
    var values = [Float](repeating: .nan, count: tensor.shape.count)
    var span = values.mutableSpan
    try model.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &span)
    return values
  }

  @Test(arguments: ReferenceModel.architectures)
  func headThatDiffersIsKept(architecture: String) throws {
    var expected: [Double] = []
    let copy = try model(architecture) {
      expected = ($0[Self.head]?.values ?? []).enumerated().map { $0 >= 9 * 32 ? -$1 : $1 }
      $0[Self.head] = $0[Self.head].map { .init(expected, dtype: $0.dtype, shape: $0.shape) }
    }
    let model = try CheckpointDirectory(path: copy.path)
    #expect(model.notes == [.keptHead(row: 9)])
    #expect(try rows("output.weight", of: model) == expected.map { Float($0) })
    #expect(try rows("token_embd.weight", of: model) != rows("output.weight", of: model))
  }

  @Test(arguments: ReferenceModel.architectures)
  func equalHeadStaysTied(architecture: String) throws {
    let copy = try model(architecture)
    let model = try CheckpointDirectory(path: copy.path)
    #expect(model.notes.isEmpty)
    #expect(model.tensor(named: "output.weight") == nil)
  }

  /// Equal numbers in other types are equal.
  @Test(arguments: ["F64", "F32", "F16", "BF16"], ["F64", "F32", "F16", "BF16"])
  func typesMayDiffer(embeddings: String, head: String) throws {
    for (last, notes) in [(0.25, []), (0.5, [CheckpointNote.keptHead(row: 271)])] {
      let copy = try model {
        var values = (0..<272 * 32).map { Double($0 % 251 - 125) / 64 }
        values[values.count - 1] = 0.25
        $0[Self.embeddings] = .init(values, dtype: embeddings, shape: [272, 32])
        values[values.count - 1] = last
        $0[Self.head] = .init(values, dtype: head, shape: [272, 32])
      }
      #expect(try CheckpointDirectory(path: copy.path).notes == notes)
    }
  }

  /// Numbers are compared, not bits: zeros of both signs are equal.
  @Test func numbersCountAndNotBits() throws {
    let copy = try model {
      $0[Self.embeddings] = .init(
        [0, .nan] + [Double](repeating: 1, count: 270 * 32 + 62), dtype: "F32", shape: [272, 32])
      $0[Self.head] = .init(
        [-0.0, .nan] + [Double](repeating: 1, count: 270 * 32 + 62), dtype: "F32", shape: [272, 32])
    }
    #expect(try CheckpointDirectory(path: copy.path).tensor(named: "output.weight") == nil)
  }

  /// An FP8 head is its elements times its scales: 0x38 of E4M3 is 1.0.
  @Test(arguments: [(Float(0.5), false), (0.25, true)])
  func scalesCount(scale: Float, isKept: Bool) throws {
    let copy = try model {
      $0[Self.embeddings] = .init([Double](repeating: 0.5, count: 272 * 32), dtype: "BF16", shape: [272, 32])
      $0[Self.head] = .init(dtype: "F8_E4M3", shape: [272, 32], bytes: [UInt8](repeating: 0x38, count: 272 * 32))
      $0[Self.head + "_scale"] = .init([Double(scale)], dtype: "F32", shape: [])
    }
    let model = try CheckpointDirectory(path: copy.path)
    #expect(model.notes == (isKept ? [.keptHead(row: 0)] : []))
    if isKept { #expect(try rows("output.weight", of: model).allSatisfy { $0 == 0.25 }) }
  }

  /// `safetensors.torch.save_model` stores, of equal tensors, the one whose name sorts first, which is the head.
  @Test(arguments: ReferenceModel.architectures)
  func headReplacesMissingEmbeddings(architecture: String) throws {
    var expected: [Float] = []
    let copy = try model(architecture) {
      expected = ($0[Self.embeddings]?.values ?? []).map { Float($0) }
      $0[Self.embeddings] = nil
    }
    let model = try CheckpointDirectory(path: copy.path)
    #expect(model.notes == [.embeddingsFromHead])
    #expect(try rows("token_embd.weight", of: model) == expected)
    #expect(model.tensor(named: "output.weight") == nil)
  }

  @Test func emptyHeadCountsAsMissing() throws {
    for shape in [[0], [0, 32]] {
      let copy = try model { $0[Self.head] = .init(dtype: "F16", shape: shape, bytes: []) }
      #expect(try CheckpointDirectory(path: copy.path).tensor(named: "output.weight") == nil)
    }
  }

  @Test func headOfAnotherVocabularyIsRefused() throws {
    let copy = try model { content in
      content[Self.head] = .init((0..<276 * 32).map { Double($0 % 7) }, dtype: "F16", shape: [276, 32])
    }
    let error = try #require(throws: FormatError.self) { try CheckpointDirectory(path: copy.path) }
    #expect(error.subject == "tensor lm_head.weight")
    #expect(error.reason.contains("[276, 32]") && error.reason.contains("[272, 32]"))
  }

  @Test(arguments: ["I32", "U8"])
  func headThatCannotBeComparedIsRefused(dtype: String) throws {
    let copy = try model {
      let bytes = [UInt8](repeating: 1, count: 272 * 32 * (dtype == "I32" ? 4 : 1))
      $0[Self.head] = .init(dtype: dtype, shape: [272, 32], bytes: bytes)
    }
    let error = try #require(throws: FormatError.self) { try CheckpointDirectory(path: copy.path) }
    #expect(error.description.contains("tensor lm_head.weight: is of type \(dtype)"))
  }

  /// Without a tie neither replaces the other: `transformers` would use random numbers.
  @Test(arguments: [(head, embeddings), (embeddings, head)])
  func missingWithoutATieIsRefused(missing: String, present: String) throws {
    let copy = try model(ties: false) { $0[missing] = nil }
    let error = try #require(throws: FormatError.self) { try CheckpointDirectory(path: copy.path) }
    #expect(error.subject == "tensor \(missing)")
    #expect(error.reason == "is missing, and config.json does not tie it to \(present)")
  }

  @Test func untiedEqualHeadIsWritten() throws {
    let copy = try model(ties: false)
    let model = try CheckpointDirectory(path: copy.path)
    #expect(model.tensor(named: "output.weight") != nil && model.notes.isEmpty)
  }

  /// config.json alone gives the tied model, whatever files are beside it.
  @Test func planNeedsNoWeights() throws {
    let copy = try model {
      $0[Self.head] = .init([Double](repeating: 1, count: 272 * 32), dtype: "F16", shape: [272, 32])
    }
    #expect(try ModelShapes(path: copy.path).tensor(named: "output.weight") == nil)
  }
}
