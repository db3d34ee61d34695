import CBlocks
import Tensors

// Error feedback, one panel of 256 columns after another: all columns of a panel are encoded in place, and a matrix product
// feeds their errors into later panels. Eight rows are encoded at a time, one in each lane of a vector.
//
// A format chooses codes and scales for a panel, in two functions:
//
// - `encode`: the panel's targets are given, with the errors of all earlier panels fed in. Column after column it rounds,
//   records the error e = t - v, and feeds it into the panel's later columns: t_k -= e_j U_jk. The cost of a choice is
//   Σ D_j e_j². Scales may be chosen in any way that keeps the row's bytes independent of other rows.
// - `refine`: the panel's codes are chosen anew given those of all other panels (block descent). The cost is eᵀHe with
//   e = w - v, and g = He is given: replacing v by v + δ changes the cost by δᵀHδ - 2 δᵀg, within the panel.
//
// Columns come in the order of processing (`FeedbackMetric.order`), which moves whole groups of eight columns: sub-blocks
// of 32, of 16 within those, and groups of 8 within those, stay together. `FeedbackPanel.column` gives the natural index.

/// The part of error feedback that depends on the block format.
protocol FeedbackFormat: Sendable {
  /// Codes and scales of one row's panel until they are packed.
  associatedtype Choice: BitwiseCopyable

  var type: GGMLType { get }

  /// A choice of zeros, to start with.
  var blank: Choice { get }

  /// Chooses codes and scales of eight rows for `panel.targets`, which it may overwrite, and sets `panel.errors` and
  /// `panel.values`.
  func encode(_ panel: FeedbackPanel, into choices: UnsafeMutablePointer<Choice>)

  /// Chooses again, starting from `choices`; updates these, `panel.values` and `panel.errors`. It may overwrite
  /// `panel.gradients`.
  func refine(_ panel: FeedbackPanel, choices: UnsafeMutablePointer<Choice>)

  /// Groups of eight rows that one call gets, so that what depends on the columns alone serves all of them.
  static var octets: Int { get }

  /// ``encode(_:into:)`` of up to ``octets`` panels; the choices of each follow those of the one before.
  func encode(_ panels: UnsafeBufferPointer<FeedbackPanel>, into choices: UnsafeMutablePointer<Choice>)

  /// ``refine(_:choices:)`` likewise.
  func refine(_ panels: UnsafeBufferPointer<FeedbackPanel>, choices: UnsafeMutablePointer<Choice>)

  /// Writes the blocks of a panel.
  func pack(_ choice: borrowing Choice, columns: Int, into blocks: UnsafeMutablePointer<UInt8>)
}

extension FeedbackFormat {
  static var octets: Int { 1 }

  func encode(_ panels: UnsafeBufferPointer<FeedbackPanel>, into choices: UnsafeMutablePointer<Choice>) {
    for (index, panel) in panels.enumerated() { encode(panel, into: choices + 8 * index) }
  }

  func refine(_ panels: UnsafeBufferPointer<FeedbackPanel>, choices: UnsafeMutablePointer<Choice>) {
    for (index, panel) in panels.enumerated() { refine(panel, choices: choices + 8 * index) }
  }
}

/// Eight rows' panel. Vectors hold one number for each of the rows; arrays have one entry for each column, in the order of
/// processing.
struct FeedbackPanel {
  /// The index of the panel in a row.
  let index: Int
  /// Columns: 256, or fewer in the last panel of a row. A multiple of the format's block length.
  let columns: Int
  /// Rows that exist; the lanes of the others hold zeros.
  let rows: Int
  /// The natural index in the panel of every column.
  let column: UnsafePointer<UInt8>
  /// U within the panel, unit upper triangular, zero below the diagonal: [columns][256].
  let factor: UnsafePointer<Float>
  /// D.
  let pivots: UnsafePointer<Float>
  /// H within the panel: [columns][256].
  let gram: UnsafePointer<Float>
  /// To encode: the weights with the errors of earlier panels fed in.
  let targets: UnsafeMutablePointer<Lane>
  /// The decoded weights.
  let values: UnsafeMutablePointer<Lane>
  /// To encode: e = t - v. To refine: e = w - v.
  let errors: UnsafeMutablePointer<Lane>
  /// To refine: g = He over all columns of the row. Else not set.
  let gradients: UnsafeMutablePointer<Lane>

  /// Floats between the beginnings of two rows of ``factor`` and ``gram``.
  static let stride = FeedbackMetric.panelColumns
}
