import Blocks
import GGUF
import Imatrix
import Tensors
import Transformer

/// The widths of each Gram matrix's diagonal blocks, chosen so that the sums and the factor of an input keep within their
/// share of the budget, and the memory that they take.
public struct FeedbackBlocks: Sendable, Equatable {
  /// Columns of a diagonal block, by columns of an input.
  public private(set) var widths: [Int: Int] = [:]
  /// Maximum bytes of sums, factor and rows in work.
  package private(set) var bytes = 0

  /// The effort whose tables are counted. The highest, whatever the run's, so that the effort does not change the widths.
  private static let effort = FeedbackEffort.descent

  /// - Parameters:
  ///   - matrices: the matrices that are encoded with feedback, and their types.
  ///   - tokens: tokens of the text.
  ///   - isPaired: whether the sums of two streams are kept.
  ///   - rowBytes: bytes of rows in work.
  ///   - share: maximum bytes.
  package init(
    _ matrices: [(tensor: TensorInfo, type: GGMLType)], tokens: Int, isPaired: Bool, rowBytes: Int, share: Int
  ) {
    func sums(_ tensor: TensorInfo) -> Int { isPaired ? Self.pairedSums : Self.sums(tensor, tokens: tokens) }
    func otherBytes(_ tensor: TensorInfo) -> Int { rowBytes + (isPaired ? Self.residualBytes(tensor) : 0) }
    for (tensor, type) in matrices {
      let columns = tensor.shape.columns
      let tables = type.feedbackTableBytes(columns: columns, effort: Self.effort)
      let available = share - otherBytes(tensor) - tables
      widths[columns] = min(
        widths[columns] ?? columns, Self.width(columns, sums: sums(tensor), share: available))
    }
    for (tensor, type) in matrices {
      let columns = tensor.shape.columns
      let width = width(columns)
      // The metric is built before rows are encoded in it.
      let building = FeedbackMetric.peakBytes(columns: columns, blockColumns: width)
      let encoding =
        FeedbackMetric.bytes(columns: columns, blockColumns: width)
        + type.feedbackTableBytes(columns: columns, effort: Self.effort)
        + Threads.count * type.feedbackThreadBytes(columns: columns, effort: Self.effort)
      let gram = GramMatrix.bytes(columns: columns, blockColumns: width)
      bytes = max(bytes, otherBytes(tensor) + sums(tensor) * gram + max(building, encoding))
    }
  }

  /// Columns of a diagonal block for an input of `columns` columns.
  package func width(_ columns: Int) -> Int { widths[columns] ?? columns }

  /// Inputs whose matrix is cut into blocks.
  public var cuts: [(columns: Int, block: Int)] {
    widths.filter { $0.key > $0.value }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// Matrices of two streams: the Gram matrix, the difference of the streams, and three for the correction, which is solved
  /// for in double precision before the metric is made.
  private static let pairedSums = 5

  /// The difference of hidden states, and its correction.
  private static func residualBytes(_ tensor: TensorInfo) -> Int { 8 * tensor.shape.count }

  /// Gram matrices of an input that are in memory together, for one stream.
  private static func sums(_ tensor: TensorInfo, tokens: Int) -> Int {
    let kind = tensor.layerClass
    // Heads are summed side by side, those of keys and those of values.
    if kind == "attn_k_b.weight" || kind == "attn_v_b.weight" { return 2 * tensor.shape.matrices }
    // An expert's tokens, its held-out tokens, its layer's tokens, and the sum that is shrunk.
    if tensor.shape.matrices > 1 { return 4 }
    // A short text has held-out tokens, and a sum that is shrunk.
    return tokens < GramCollector.ampleTokens * tensor.shape.columns ? 3 : 1
  }

  /// Bytes without those of each thread: the width must not depend on the number of threads.
  private static func bytes(_ columns: Int, _ width: Int, sums: Int) -> Int {
    // While the metric is built, a block is held in double precision.
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
