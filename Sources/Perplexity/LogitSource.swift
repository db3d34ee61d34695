import Transformer

/// A source of logits at the scored positions: a model that has run, or a stored reference.
///
/// Logits are requested in tiles: all rows of one range of the vocabulary before the next range, so that a model
/// decodes its output head once. If states are on disk, rows are loaded before their logits are requested.
public protocol LogitSource {
  /// The number of scored positions. Rows are in the order of windows.
  var rowCount: Int { get }
  /// The number of tokens of the vocabulary.
  var vocabularyCount: Int { get }

  /// Writes logits [rows, vocabulary] to `output`.
  func logits(rows: Range<Int>, vocabulary: Range<Int>, into output: inout MutableSpan<Float>) throws

  /// The bytes of a loaded row; 0 if rows need not be loaded.
  var loadedRowBytes: Int { get }

  /// Loads rows. All their logits are requested before those of other rows.
  func load(rows: Range<Int>) throws
}

extension LogitSource {
  /// 0: rows need not be loaded.
  public var loadedRowBytes: Int { 0 }
  /// Does nothing.
  public func load(rows: Range<Int>) throws {}
}

/// The number of rows to load at once from all sources together.
func loadableRows(_ sources: [any LogitSource], memory: Int) -> Int {
  let bytes = sources.reduce(0) { $0 + $1.loadedRowBytes }
  return bytes == 0 ? Int.max : max(16, memory / bytes)
}

extension FinalStates: LogitSource {}
