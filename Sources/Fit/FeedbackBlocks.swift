import Blocks
import GGUF
import Imatrix
import Tensors
import Transformer

/// The memory of error feedback: how wide the diagonal blocks of each Gram matrix are, so that sums and factor of an input
/// keep within their share of the budget.
public struct FeedbackBlocks: Sendable, Equatable {
  /// By columns of an input, those of a block.
  public private(set) var widths: [Int: Int] = [:]
  /// Bytes of sums, factor and rows in work, at most.
  public private(set) var bytes = 0

  /// - Parameters:
  ///   - matrices: those that are encoded with feedback, and their types.
  ///   - tokens: of the text.
  ///   - isPaired: whether the sums of two streams are kept.
  ///   - rowBytes: of rows in work.
  ///   - share: bytes that may be used.
  package init(
    _ matrices: [(tensor: TensorInfo, type: GGMLType)], tokens: Int, isPaired: Bool, rowBytes: Int, share: Int
  ) {
    for (tensor, type) in matrices {
      let columns = tensor.shape.columns
      let sums = isPaired ? Self.pairedSums : Self.sums(tensor, tokens: tokens)
      let beside =
        rowBytes + (isPaired ? Self.residualBytes(tensor) : 0)
        + type.feedbackTableBytes(columns: columns, effort: .descent)
      let width = min(widths[columns] ?? columns, Self.width(columns, sums: sums, share: share - beside))
      widths[columns] = width
    }
    for (tensor, type) in matrices {
      let columns = tensor.shape.columns
      let sums = isPaired ? Self.pairedSums : Self.sums(tensor, tokens: tokens)
      let width = widths[columns] ?? columns
      // The metric is built, then it serves.
      let encoding =
        FeedbackMetric.bytes(columns: columns, blockColumns: width)
        + type.feedbackTableBytes(columns: columns, effort: .descent)
        + Threads.count * type.feedbackThreadBytes(columns: columns, effort: .descent)
      bytes = max(
        bytes,
        rowBytes + (isPaired ? Self.residualBytes(tensor) : 0) + sums
          * GramMatrix.bytes(columns: columns, blockColumns: width)
          + max(FeedbackMetric.peakBytes(columns: columns, blockColumns: width), encoding))
    }
  }

  /// Columns of a diagonal block for inputs of so many columns.
  package func width(_ columns: Int) -> Int { widths[columns] ?? columns }

  /// The inputs that do not get their whole matrix.
  public var cuts: [(columns: Int, block: Int)] {
    widths.filter { $0.key > $0.value }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// For two streams: the Gram matrix, what the streams differ in, and the correction; it is solved for in double precision,
  /// before the metric is made.
  private static let pairedSums = 5

  /// The difference of hidden states, and its correction.
  private static func residualBytes(_ tensor: TensorInfo) -> Int { 8 * tensor.shape.count }

  /// Sums of an input's size that are in memory together.
  private static func sums(_ tensor: TensorInfo, tokens: Int) -> Int {
    let kind = tensor.layerClass
    // Heads are summed side by side, of keys and of values.
    if kind == "attn_k_b.weight" || kind == "attn_v_b.weight" { return 2 * tensor.shape.matrices }
    // An expert's tokens, those that are held out, its layer's, and one that is shrunk.
    if tensor.shape.matrices > 1 { return 4 }
    return tokens < GramCollector.ampleTokens * tensor.shape.columns ? 3 : 1
  }

  /// Without what each thread works with: the width must not depend on their number.
  private static func bytes(_ columns: Int, _ width: Int, sums: Int) -> Int {
    sums * GramMatrix.bytes(columns: columns, blockColumns: width)
      + FeedbackMetric.bytes(columns: columns, blockColumns: width) + 8 * width * width
  }

  private static func width(_ columns: Int, sums: Int, share: Int) -> Int {
    let panel = FeedbackMetric.panelColumns
    guard bytes(columns, columns, sums: sums) > share, columns > panel else { return columns }
    var width = (columns - 1) / panel * panel
    while width > panel, bytes(columns, width, sums: sums) > share { width -= panel }
    return width
  }
}
