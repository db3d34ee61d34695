/// Receives the inputs of every matrix product of a forward pass.
///
/// Calls are sequential, and their order does not depend on the number of threads: layer by layer, and in a layer in
/// the order of the tokens.
public protocol ForwardObserver: AnyObject {
  /// Called with the inputs of a product.
  ///
  /// - Parameters:
  ///   - tensors: all weights that are multiplied by these inputs, such as q, k and v of a layer.
  ///   - inputs: [tokens, columns], row after row.
  ///   - columns: the length of a row.
  ///   - matrix: the matrix of each tensor.
  func observe(_ tensors: [String], inputs: Span<Float>, columns: Int, matrix: ObservedMatrix) throws

  /// Whether every expert observes every token. The results of a token do not change.
  var wantsAllExperts: Bool { get }
  /// Whether the inputs of the output head are observed.
  var wantsOutput: Bool { get }
  /// Bytes that it keeps for a column of a matrix of a finished layer.
  var finishedBytesPerColumn: Int { get }
  /// Bytes that it takes beside numbers for every column, which the pass leaves free.
  var workBytes: Int { get }
}

extension ForwardObserver {
  /// False: an expert observes the tokens that are routed to it.
  public var wantsAllExperts: Bool { false }
  /// False.
  public var wantsOutput: Bool { false }
  /// 4, a number in single precision.
  public var finishedBytesPerColumn: Int { 4 }
  /// None.
  public var workBytes: Int { 0 }
}

/// A matrix of a tensor.
public enum ObservedMatrix: Sendable, Equatable {
  /// The whole tensor.
  case whole
  /// The matrix of an expert, which only some tokens use.
  case expert(Int, of: Int)
  /// The matrix of an attention head, which all tokens use.
  case head(Int, of: Int)
}
