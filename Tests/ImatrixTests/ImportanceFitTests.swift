import GGUF
import Imatrix
import Tensors
import TestSupport
import Testing

/// Importance matrices that fit a model in part.
@Suite struct ImportanceFitTests {
  private func model(_ shapes: KeyValuePairs<String, [Int]>) -> MemoryModel {
    MemoryModel(
      name: "m", metadata: [:],
      tensors: shapes.map { name, shape in
        (name: "blk.0.\(name)", shape: shape, values: [Float](repeating: 1, count: shape.reduce(1, *)))
      })
  }

  private func matrix(_ entries: KeyValuePairs<String, (sums: [Float], counts: [Float])>) -> ImportanceMatrix {
    ImportanceMatrix(
      entries: Dictionary(
        uniqueKeysWithValues: entries.map { ("blk.0.\($0)", .init(sums: $1.sums, counts: $1.counts)) }),
      datasets: [], chunkCount: 1, chunkSize: 1)
  }

  private func importance(_ fit: ImportanceFit, _ model: MemoryModel) -> [String: [Float]] {
    Dictionary(
      uniqueKeysWithValues: model.tensors.compactMap { tensor in
        fit.matrix.importance(for: tensor).map { (String(tensor.name.dropFirst("blk.0.".count)), $0) }
      })
  }

  @Test func fittingEntriesAreUsed() throws {
    let model = model(["attn_q.weight": [2, 1], "attn_k.weight": [2, 1], "ffn_up.weight": [2, 1]])
    let matrix = matrix([
      "attn_q.weight": ([2, 4], [2]), "ffn_up.weight": ([0, 0], [0]), "attn_kv_b.weight": ([1], [1]),
      "v.patch.weight": ([7, 7, 7], [1]),
    ])
    let fit = try matrix.fitted(to: model, file: "a.dat")
    #expect(importance(fit, model) == ["attn_q.weight": [1, 2]])
    #expect(fit.leftOver == ["blk.0.attn_kv_b.weight", "blk.0.v.patch.weight"])
    #expect(fit.missing(of: model.tensors).map(\.name) == ["blk.0.attn_k.weight", "blk.0.ffn_up.weight"])
  }

  @Test func anotherWidthIsRefusedWithBoth() throws {
    let model = model(["attn_q.weight": [2, 1], "ffn_up_exps.weight": [2, 1, 3]])
    func error(_ matrix: ImportanceMatrix) -> String {
      let error = #expect(throws: ImatrixError.self) { try matrix.fitted(to: model, file: "a.dat") }
      return error?.description ?? ""
    }
    #expect(
      error(matrix(["attn_q.weight": ([2, 4, 6], [2])]))
        == "a.dat: the importance matrix is of another model: 'blk.0.attn_q.weight' has 3 columns, the model's has 2")
    #expect(error(matrix(["ffn_up_exps.weight": ([2, 4], [1])])).contains("has 2 columns, the model's has 6"))
    #expect(
      error(matrix(["ffn_up_exps.weight": ([1, 2, 3, 4, 5, 6], [1, 1])]))
        .contains("has 6 columns by 2 counts, the model's has 6"))
  }

  /// The error for a matrix without tokens does not name another model.
  @Test func emptyMatrixIsRefused() throws {
    let model = model(["attn_q.weight": [2, 1]])
    let error = #expect(throws: ImatrixError.self) {
      try matrix(["attn_q.weight": ([0, 0], [0])]).fitted(to: model, file: "a.dat")
    }
    #expect(error == .empty(file: "a.dat", entries: 1))
  }

  @Test func aMatrixWithoutFittingEntriesIsRefused() throws {
    let model = model(["attn_q.weight": [2, 1]])
    for entries: KeyValuePairs<String, (sums: [Float], counts: [Float])> in [
      ["wq.weight": ([1, 2], [2])], ["wq.weight": ([1, 2], [2]), "attn_q.weight": ([0, 0], [0])],
    ] {
      let error = #expect(throws: ImatrixError.self) { try matrix(entries).fitted(to: model, file: "a.dat") }
      #expect(error?.description.contains("of another model: none of its") == true, "\(String(describing: error))")
    }
  }

  @Test(arguments: [
    "blk.0.attn_k_b.weight (reshaped)", "CUDA0#blk.0.attn_k_b.weight#0", "blk.0.attn_k_b.weight (view) (permuted)",
  ])
  func namesOfGraphNodesAreMatched(_ name: String) throws {
    let model = model(["attn_k_b.weight": [2, 1, 2]])
    for (sums, expected) in [([2, 4, 6, 8], [1, 2, 3, 4]), ([2, 4], [1, 2, 1, 2])] as [([Float], [Float])] {
      let matrix = ImportanceMatrix(
        entries: [name: .init(sums: sums, counts: [2])], datasets: [], chunkCount: 1, chunkSize: 1)
      let fit = try matrix.fitted(to: model, file: "a.dat")
      #expect(importance(fit, model) == ["attn_k_b.weight": expected] && fit.leftOver.isEmpty)
    }
    // If the tensor has an entry of its name, this one is left over, whatever its width.
    let both = ImportanceMatrix(
      entries: [
        name: .init(sums: [1], counts: [1]), "blk.0.attn_k_b.weight": .init(sums: [2, 4, 6, 8], counts: [2]),
      ], datasets: [], chunkCount: 1, chunkSize: 1)
    let fit = try both.fitted(to: model, file: "a.dat")
    #expect(importance(fit, model) == ["attn_k_b.weight": [1, 2, 3, 4]] && fit.leftOver == [name])
  }

  /// The input of attn_kv_b is the latent. The inputs of the two tensors that replace it are queries and the output of
  /// attention.
  @Test func jointAndAbsorbedKeysHaveOtherInputs() throws {
    let absorbed = model(["attn_q.weight": [2, 1], "attn_k_b.weight": [2, 1, 2], "attn_v_b.weight": [2, 1, 2]])
    let old = matrix(["attn_q.weight": ([1, 1], [1]), "attn_kv_b.weight": ([1, 1], [1])])
    let fit = try old.fitted(to: absorbed, file: "a.dat")
    #expect(fit.leftOver == ["blk.0.attn_kv_b.weight"])
    #expect(fit.missing(of: absorbed.tensors).count == 2)
    let joint = model(["attn_q.weight": [2, 1], "attn_kv_b.weight": [2, 4]])
    let new = matrix(["attn_q.weight": ([1, 1], [1]), "attn_k_b.weight": ([1, 1, 1, 1], [1])])
    #expect(
      try new.fitted(to: joint, file: "a.dat").missing(of: joint.tensors).map(\.name) == ["blk.0.attn_kv_b.weight"])
  }

  @Test func fusedMatricesHaveTheInputOfTheirParts() throws {
    let split = model(["attn_q.weight": [2, 1], "attn_k.weight": [2, 1], "ffn_up_exps.weight": [1, 1, 2]])
    let fused = model(["attn_qkv.weight": [2, 3], "ffn_gate_up_exps.weight": [1, 2, 2]])
    let ofFused = matrix(["attn_qkv.weight": ([2, 4], [2]), "ffn_gate_up_exps.weight": ([2, 9], [2, 3])])
    let ofSplit = matrix([
      "attn_q.weight": ([2, 4], [2]), "attn_k.weight": ([2, 4], [2]), "ffn_up_exps.weight": ([2, 9], [2, 3]),
    ])
    let one = try ofFused.fitted(to: split, file: "a.dat")
    #expect(
      importance(one, split) == ["attn_q.weight": [1, 2], "attn_k.weight": [1, 2], "ffn_up_exps.weight": [1, 3]])
    let other = try ofSplit.fitted(to: fused, file: "a.dat")
    #expect(importance(other, fused) == ["attn_qkv.weight": [1, 2], "ffn_gate_up_exps.weight": [1, 3]])
    #expect(one.leftOver.isEmpty && other.leftOver.isEmpty)
  }

  @Test func expertsInAStackAndByThemselves() throws {
    let stack = model(["ffn_up_exps.weight": [2, 1, 3]])
    let single = model(["ffn_up.0.weight": [2, 1], "ffn_up.2.weight": [2, 1]])
    // The second expert has no entry, and gets the mean of the others.
    let ofSingle = matrix(["ffn_up.0.weight": ([2, 4], [2]), "ffn_up.2.weight": ([6, 8], [2])])
    let one = try ofSingle.fitted(to: stack, file: "a.dat")
    #expect(importance(one, stack) == ["ffn_up_exps.weight": [1, 2, 2, 3, 3, 4]] && one.leftOver.isEmpty)
    let ofStack = matrix(["ffn_up_exps.weight": ([2, 4, 0, 0, 6, 8], [2, 0, 2])])
    let other = try ofStack.fitted(to: single, file: "a.dat")
    #expect(importance(other, single) == ["ffn_up.0.weight": [1, 2], "ffn_up.2.weight": [3, 4]])
    #expect(other.leftOver.isEmpty)
  }

  @Test func theInputOfATiedHeadIsTheEmbeddings() throws {
    func model(_ names: [String]) -> MemoryModel {
      MemoryModel(metadata: [:], tensors: names.map { ($0, [2, 1], [1, 1]) })
    }
    let matrix = ImportanceMatrix(
      entries: ["output.weight": .init(sums: [2, 4], counts: [2])], datasets: [], chunkCount: 1, chunkSize: 1)
    let tied = model(["token_embd.weight"])
    #expect(try matrix.fitted(to: tied, file: "a").matrix.importance(for: tied.tensors[0]) == [1, 2])
    let untied = model(["token_embd.weight", "output.weight"])
    #expect(try matrix.fitted(to: untied, file: "a").missing(of: untied.tensors).map(\.name) == ["token_embd.weight"])
  }
}
