import GGUF

/// A dense network and experts side by side: adds RMSNorm(RMSNorm(dense(x)) + RMSNorm(experts(x))) to the hidden state
/// x. Both have norms of their inputs.
struct ParallelFeedForward: LayerPart {
  let dense: DenseFeedForward
  let experts: ExpertFeedForward
  // The weights of RMSNorm over the outputs, and over their sum.
  let denseNorm: TensorInfo
  let expertNorm: TensorInfo
  let norm: TensorInfo

  var matrices: [TensorInfo] { dense.matrices + experts.matrices }
  var columnsPerToken: Int { 2 * norm.shape.columns + max(dense.columnsPerToken, experts.columnsPerToken) }
  var readsDependOnRouting: Bool { true }
  func weightsPerToken(allExperts: Bool) -> Double {
    dense.weightsPerToken(allExperts: allExperts) + experts.weightsPerToken(allExperts: allExperts)
  }

  func reads(_ limit: Int) -> [WeightRequest] { dense.reads(limit) + experts.reads(limit) }

  func run(_ hidden: inout Activations, _ context: LayerContext, keeping: Range<Int>?) throws {
    var sum = try denseOutputs(hidden, context)
    var routed = try context.zeros(hidden.layout, columns: hidden.columns)
    let (inputs, uses) = try experts.prepare(hidden, context)
    try experts.addOutputs(inputs, uses, to: &routed, context)
    try context.addNormalized(&routed, norm: expertNorm, to: &sum)
    try context.addNormalized(&sum, norm: norm, to: &hidden)
  }

  /// RMSNorm(dense(x))
  private func denseOutputs(_ hidden: Activations, _ context: LayerContext) throws -> Activations {
    let inner = try dense.expand(hidden, context)
    var result = try context.zeros(hidden.layout, columns: hidden.columns)
    try context.addProduct(dense.unit.down, to: &result, norm: denseNorm) { try inner.read($0) }
    return result
  }
}
