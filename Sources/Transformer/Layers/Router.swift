import GGUF

/// Selects the experts of a token, and their weights.
struct Router: Sendable {
  enum Gate: Sendable {
    case softmax
    case sigmoid
    /// A softmax over the logits of the selected experts alone (gpt-oss).
    case selectedSoftmax
  }

  /// [width, experts]
  let weight: TensorInfo
  /// The term that is added to an expert's logit; [experts].
  var logitBias: TensorInfo?
  /// The term that is added to an expert's score for the selection, but not for its weight (DeepSeek-V3, arXiv
  /// 2412.19437).
  let bias: TensorInfo?
  let gate: Gate
  let experts: Int
  let used: Int
  /// Experts are selected from the best `groupsUsed` of `groups` groups.
  let groups: Int
  let groupsUsed: Int
  /// Whether the weights of a token's experts are normalised to the sum 1.
  let normalizes: Bool
  /// The factor of the weights.
  let scale: Float
  /// Where the router has inputs of its own: the weights [width] of RMSNorm, times the root of the width.
  var inputScale: TensorInfo?

  struct ExpertWeight: Equatable {
    let expert: Int
    let weight: Float
  }

  /// The experts of a token in descending order of their scores, and of equal scores in ascending order of their
  /// indices.
  func select(_ logits: Span<Float>, bias: [Float]?) -> [ExpertWeight] {
    let probabilities = probabilities(logits)
    var scores = probabilities
    if let bias { for expert in scores.indices { scores[expert] += bias[expert] } }
    if groups > 1 && groupsUsed < groups { dropWeakGroups(&scores) }
    let selected = scores.indices.sorted { (scores[$0], $1) > (scores[$1], $0) }.prefix(used)
    if gate == .selectedSoftmax {
      let weights = softmax(selected.map { probabilities[$0] })
      return zip(selected, weights).map { ExpertWeight(expert: $0, weight: $1 * scale) }
    }
    var factor = scale
    if normalizes {
      // The smallest normal half-precision number keeps the quotient finite where all weights are 0.
      factor /= max(selected.reduce(0) { $0 + probabilities[$1] }, 6.103515625e-5)
    }
    return selected.map { ExpertWeight(expert: $0, weight: probabilities[$0] * factor) }
  }

  private func probabilities(_ logits: Span<Float>) -> [Float] {
    let logits = logits.indices.map { logits[$0] }
    return switch gate {
    case .sigmoid: logits.map { 1 / (1 + exponential(-$0)) }
    case .softmax: softmax(logits)
    case .selectedSoftmax: logits
    }
  }

  private func softmax(_ logits: [Float]) -> [Float] {
    let top = logits.max() ?? 0
    var sum: Float = 0
    var result = logits
    for index in result.indices {
      result[index] = exponential(result[index] - top)
      sum += result[index]
    }
    for index in result.indices { result[index] /= sum }
    return result
  }

  /// Excludes all groups except the best. A group's score is that of its best expert (softmax gate, DeepSeek-V2) or the
  /// sum of its two best (sigmoid gate, DeepSeek-V3).
  private func dropWeakGroups(_ scores: inout [Float]) {
    let size = experts / groups
    let groupScores = (0..<groups).map { group -> Float in
      let best = scores[group * size..<(group + 1) * size].sorted(by: >)
      return gate == .sigmoid && size > 1 ? best[0] + best[1] : best[0]
    }
    let order = groupScores.indices.sorted { (groupScores[$0], $1) > (groupScores[$1], $0) }
    for group in order.dropFirst(groupsUsed) {
      for expert in group * size..<(group + 1) * size { scores[expert] = -.infinity }
    }
  }
}
