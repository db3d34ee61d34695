import Transformer

/// Where the logits of the scored positions come from: a model that has run, or anything that behaves as one.
///
/// Logits are asked for in tiles, all rows of one range of the vocabulary before the next, so that a model decodes the
/// rows of its output head once. Where a model's states lie on disk, rows are loaded before their logits are asked for.
public protocol LogitSource {
  /// Scored positions, window after window.
  var rowCount: Int { get }
  var vocabularyCount: Int { get }

  /// Writes logits [rows, vocabulary].
  func logits(rows: Range<Int>, vocabulary: Range<Int>, into output: inout MutableSpan<Float>) throws

  /// Bytes that a row takes while it is loaded; 0 where nothing has to be loaded.
  var loadedRowBytes: Int { get }

  /// Announces that logits of these rows are wanted, all tiles of them, before those of any other.
  func load(rows: Range<Int>) throws
}

extension LogitSource {
  /// 0: everything is in memory.
  public var loadedRowBytes: Int { 0 }
  /// Does nothing.
  public func load(rows: Range<Int>) throws {}
}

/// How many rows to load at once, of several sources.
func loadableRows(_ sources: [any LogitSource], memory: Int) -> Int {
  let bytes = sources.reduce(0) { $0 + $1.loadedRowBytes }
  return bytes == 0 ? Int.max : max(16, memory / bytes)
}

extension FinalStates: LogitSource {}
