import Transformer

/// Where the logits of the scored positions come from: a model that has run, or anything that behaves as one.
///
/// Logits are asked for in tiles, all rows of one range of the vocabulary before the next, so that a model decodes the
/// rows of its output head once.
public protocol LogitSource {
  /// Scored positions, window after window.
  var rowCount: Int { get }
  var vocabularyCount: Int { get }

  /// Writes logits [rows, vocabulary].
  func logits(rows: Range<Int>, vocabulary: Range<Int>, into output: inout MutableSpan<Float>) throws
}

extension FinalStates: LogitSource {}
