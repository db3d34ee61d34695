import GGUF
import Tensors

/// Watches what goes into every matrix product of two streams at once: that of the exact model, and that of the same text
/// through the weights that are rounded so far.
public protocol PairObserver: AnyObject {
  /// - Parameters:
  ///   - tensors: the weights that are multiplied by these inputs.
  ///   - exact, rounded: [tokens, columns], row after row.
  func observe(_ tensors: [String], exact: Span<Float>, rounded: Span<Float>, columns: Int) throws

  /// The hidden states that a product is added to.
  ///
  /// - Parameters:
  ///   - exact, rounded: [tokens, width], row after row.
  ///   - inputs: what the rounded weights are multiplied by, [tokens, columns]; they were observed before.
  func observe(
    residualOf tensor: String, exact: Span<Float>, rounded: Span<Float>, width: Int, inputs: Span<Float>) throws

  /// Every token was seen. From here on the rounded model has these tensors.
  func end(_ tensors: [String]) throws

  /// Bytes that it takes beside the pass.
  var workBytes: Int { get }
}
