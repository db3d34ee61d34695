import GGUF
import Tensors
import Transformer

/// The sums of one input in two streams, X of the model and X' through rounded weights, over all tokens.
public struct PairedInput: Sendable {
  /// The tensors that are multiplied by the input.
  public let tensors: [String]
  /// X'ᵀX', the Gram matrix of the stream through rounded weights.
  public let gram: GramMatrix
  /// (X - X')ᵀX'; nil if the Gram matrix consists of diagonal blocks.
  public let drift: CrossProduct?
  /// (S - S')ᵀX', with S the hidden states to which the product is added; nil if it is not added to any.
  public let residual: CrossProduct?
}

/// Sums the inputs of a model and of its rounded form together. The sums of an input are passed on when they are
/// complete.
public final class PairCollector: PairObserver {
  public let workBytes: Int
  private let wants: (String) -> Bool
  private let blockColumns: (Int) -> Int
  private let receive: (PairedInput) throws -> Void
  private var sums: Sums?

  private struct Sums {
    var gram: GramMatrix
    var drift: CrossProduct?
    var residual: CrossProduct?
  }

  /// - Parameters:
  ///   - workBytes: the maximum number of bytes of the sums and of `receive`.
  ///   - wants: whether to sum a tensor's inputs.
  ///   - blockColumns: the columns of a diagonal block, for the columns of an input.
  ///   - receive: gets every input once, in the order of the pass.
  public init(
    workBytes: Int, wants: @escaping (String) -> Bool, blockColumns: @escaping (Int) -> Int = { $0 },
    receive: @escaping (PairedInput) throws -> Void
  ) {
    self.workBytes = workBytes
    self.wants = wants
    self.blockColumns = blockColumns
    self.receive = receive
  }

  public func observe(_ tensors: [String], exact: Span<Float>, rounded: Span<Float>, columns: Int) throws {
    guard tensors.contains(where: wants) else { return }
    if sums == nil {
      let block = blockColumns(columns)
      sums = Sums(
        gram: GramMatrix(columns: columns, blockColumns: block),
        drift: block < columns ? nil : CrossProduct(rows: columns, columns: columns))
    }
    try sums?.gram.add(rounded)
    try sums?.drift?.add(exact, minus: rounded, times: rounded)
  }

  public func observe(
    residualOf tensor: String, exact: Span<Float>, rounded: Span<Float>, width: Int, inputs: Span<Float>
  ) throws {
    guard let columns = sums?.drift?.columns else { return }
    if sums?.residual == nil { sums?.residual = CrossProduct(rows: width, columns: columns) }
    try sums?.residual?.add(exact, minus: rounded, times: inputs)
  }

  public func end(_ tensors: [String]) throws {
    // Removed from the list, so that the sums are finished in place.
    var taken: Sums?
    swap(&taken, &sums)
    guard var whole = consume taken else { return }
    try whole.gram.finish()
    try whole.drift?.finish()
    try whole.residual?.finish()
    try receive(PairedInput(tensors: tensors, gram: whole.gram, drift: whole.drift, residual: whole.residual))
  }
}
