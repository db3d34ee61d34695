/// Watches what goes into every matrix product of a forward pass.
///
/// Calls come one at a time, in an order that does not depend on threads: layer by layer, and within a layer in the
/// order of the tokens.
public protocol ForwardObserver: AnyObject {
  /// - Parameters:
  ///   - tensors: the weights that are multiplied by these inputs (`blk.0.attn_q.weight` and its companions share them).
  ///   - inputs: [tokens, columns], row after row.
  ///   - matrix: which matrix of the tensors, where they are stacks.
  func observe(_ tensors: [String], inputs: Span<Float>, columns: Int, matrix: ObservedMatrix) throws

  /// True where every token should also be sent through every expert, for observation alone.
  var wantsAllExperts: Bool { get }
  /// True where the inputs of the output head should be observed too.
  var wantsOutput: Bool { get }
  /// Bytes that it takes beside a number for every column of every matrix, which the pass leaves free.
  var workBytes: Int { get }
}

extension ForwardObserver {
  /// False: tokens go through the experts that they are routed to.
  public var wantsAllExperts: Bool { false }
  /// False.
  public var wantsOutput: Bool { false }
  /// None.
  public var workBytes: Int { 0 }
}

/// One matrix of a tensor.
public enum ObservedMatrix: Sendable, Equatable {
  /// The tensor is a matrix.
  case whole
  /// One expert: it sees the tokens that were routed to it.
  case expert(Int, of: Int)
  /// One attention head of a tensor that has a matrix per head: all see the same tokens.
  case head(Int, of: Int)
}
