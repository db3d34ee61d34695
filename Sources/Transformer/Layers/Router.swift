import GGUF

/// Sends every token to some of the experts of a layer, with a weight for each.
struct Router: Sendable {
  enum Gate: Sendable {
    case softmax
    case sigmoid
  }

  /// [width, experts]
  let weight: TensorInfo
  /// Added to an expert's score for the choice only (DeepSeek-V3, arXiv 2412.19437).
  let bias: TensorInfo?
  let gate: Gate
  let experts: Int
  let used: Int
  /// Experts are chosen from the best `groupsUsed` of `groups` groups.
  let groups: Int
  let groupsUsed: Int
  /// Whether the weights of a token's experts are made to add up to 1.
  let normalizes: Bool
  /// Multiplies the weights.
  let scale: Float

  struct Choice: Equatable {
    let expert: Int
    let weight: Float
  }

  /// The experts of one token, by falling score; ties go to the lower number.
  func choose(_ logits: Span<Float>, bias: [Float]?) -> [Choice] {
    let probabilities = probabilities(logits)
    var scores = probabilities
    if let bias { for expert in scores.indices { scores[expert] += bias[expert] } }
    if groups > 1 && groupsUsed < groups { dropWeakGroups(&scores) }
    let chosen = scores.indices.sorted { (scores[$0], $1) > (scores[$1], $0) }.prefix(used)
    var factor = scale
    if normalizes {
      // The smallest normal half keeps the quotient finite where all weights vanish.
      factor /= max(chosen.reduce(0) { $0 + probabilities[$1] }, 6.103515625e-5)
    }
    return chosen.map { Choice(expert: $0, weight: probabilities[$0] * factor) }
  }

  private func probabilities(_ logits: Span<Float>) -> [Float] {
    var result = logits.indices.map { logits[$0] }
    switch gate {
    case .sigmoid:
      for index in result.indices { result[index] = 1 / (1 + exponential(-result[index])) }
    case .softmax:
      let top = result.max() ?? 0
      var sum: Float = 0
      for index in result.indices {
        result[index] = exponential(result[index] - top)
        sum += result[index]
      }
      for index in result.indices { result[index] /= sum }
    }
    return result
  }

  /// A group is as good as its best expert (softmax gate, DeepSeek-V2) or as its two best together (sigmoid gate,
  /// DeepSeek-V3), as those models were trained.
  private func dropWeakGroups(_ scores: inout [Float]) {
    let size = experts / groups
    let strength = (0..<groups).map { group -> Float in
      let best = scores[group * size..<(group + 1) * size].sorted(by: >)
      return gate == .sigmoid && size > 1 ? best[0] + best[1] : best[0]
    }
    let order = strength.indices.sorted { (strength[$0], $1) > (strength[$1], $0) }
    for group in order.dropFirst(groupsUsed) {
      for expert in group * size..<(group + 1) * size { scores[expert] = -.infinity }
    }
  }
}
