import Tensors
import Transformer

/// An iteration over the logits of several models in tiles of positions and vocabulary.
///
/// Positions (rows) are divided into groups, whose states are loaded together. For each group, the vocabulary is
/// divided into ranges, so that a model decodes its output head once per group. For each range, rows are divided into
/// tiles.
struct VocabularyWalk {
  /// The tokens of the vocabulary in a tile: few enough that the corresponding rows of several large output heads fit
  /// in memory. The last bits of results depend on it, so it must not depend on the memory budget; the number of rows
  /// does.
  static let tileWidth = headTile
  private static let minimumRows = 16

  private let models: [(name: String, source: any LogitSource)]
  private let windows: ScoringWindows
  private let vocabulary: Int
  private let groupRows: Int
  private let tileRows: Int

  /// - Parameters:
  ///   - reference: a stored reference, whose vocabulary the models must have; nil to compare with the first model.
  ///   - groupRows: the maximum number of rows in a group.
  ///   - tileRows: the maximum number of rows in a tile; see ``tileRows(memory:models:vocabulary:)``.
  /// - Throws: ``ScoringError`` if models and windows do not fit each other.
  init(
    _ models: [(name: String, source: any LogitSource)], reference: (name: String, vocabulary: Int)? = nil,
    windows: ScoringWindows, groupRows: Int, tileRows: Int
  ) throws {
    let base = reference ?? models.first.map { ($0.name, $0.source.vocabularyCount) } ?? ("", 0)
    for (name, source) in models {
      guard source.vocabularyCount == base.vocabulary else {
        throw ScoringError.vocabulariesDiffer(
          base: base.name, baseCount: base.vocabulary, model: name, count: source.vocabularyCount)
      }
      guard source.rowCount == windows.rowCount else {
        throw ScoringError.positionsDiffer(model: name, count: source.rowCount, expected: windows.rowCount)
      }
    }
    if let wrong = windows.targets.first(where: { $0 < 0 || Int($0) >= base.vocabulary }) {
      throw ScoringError.unknownToken(id: wrong, vocabulary: base.vocabulary)
    }
    self.models = models
    self.windows = windows
    vocabulary = base.vocabulary
    self.groupRows = max(1, min(groupRows, windows.rowCount))
    self.tileRows = max(1, min(tileRows, self.groupRows))
  }

  /// The number of rows whose logits of all models have at most `memory` bytes in one tile, but at least 16.
  static func tileRows(memory: Int, models: Int, vocabulary: Int) -> Int {
    let row = min(vocabulary, tileWidth) * max(1, models) * MemoryLayout<Float>.size
    return max(minimumRows, min(memory, largestLogitTile) / max(1, row))
  }

  /// Calls `body` with every tile: the logits of all models at `rows` and `columns`.
  ///
  /// - Parameters:
  ///   - begin, end: called before and after the tiles of a group of rows.
  /// - Throws: what the models, the closures and `progress` throw.
  func forEachTile(
    progress: any RunObserver, begin: (_ group: Range<Int>) throws -> Void = { _ in },
    body: (_ tile: LogitTile, _ rows: Range<Int>, _ columns: Range<Int>) throws -> Void,
    end: (_ group: Range<Int>) throws -> Void = { _ in }
  ) throws {
    guard windows.rowCount > 0, vocabulary > 0, !models.isEmpty else { return }
    let width = min(vocabulary, Self.tileWidth)
    let tile = LogitTile(capacity: width * tileRows * models.count)
    for start in stride(from: 0, to: windows.rowCount, by: groupRows) {
      let group = start..<min(windows.rowCount, start + groupRows)
      try begin(group)
      for model in models { try model.source.load(rows: group) }
      for first in stride(from: 0, to: vocabulary, by: width) {
        let columns = first..<min(vocabulary, first + width)
        for start in stride(from: group.lowerBound, to: group.upperBound, by: tileRows) {
          let rows = start..<min(group.upperBound, start + tileRows)
          for (index, model) in models.enumerated() {
            try tile.fill(index, from: model, rows: rows, vocabulary: columns, windows)
          }
          try body(tile, rows, columns)
          let finished = first * group.count + (rows.upperBound - group.lowerBound) * columns.count
          let done = Double(finished) / Double(vocabulary) + Double(group.lowerBound)
          try progress.advance(RunProgress(fraction: done / Double(windows.rowCount)))
        }
      }
      try end(group)
    }
  }
}
