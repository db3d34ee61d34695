/// Watches what goes into every matrix product of a forward pass.
///
/// Calls come one at a time, in an order that does not depend on threads: layer by layer, and within a layer in the
/// order of the tokens.
public protocol ForwardObserver: AnyObject {
  /// - Parameters:
  ///   - tensors: the weights that are multiplied by these inputs (`blk.0.attn_q.weight` and its companions share them).
  ///   - inputs: [tokens, columns], row after row.
  ///   - matrix: which matrix of a stack: the expert, or the head of a tensor that has one matrix a head; nil for a
  ///     plain matrix.
  ///   - matrices: how many matrices the stack has (1 for a plain matrix).
  func observe(_ tensors: [String], inputs: Span<Float>, columns: Int, matrix: Int?, matrices: Int) throws

  /// True where every token should also be sent through every expert, for observation alone.
  var wantsAllExperts: Bool { get }
  /// True where the inputs of the output head should be observed too.
  var wantsOutput: Bool { get }
}

extension ForwardObserver {
  public var wantsAllExperts: Bool { false }
  public var wantsOutput: Bool { false }
}
