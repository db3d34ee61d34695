/// A text split into windows as in llama-perplexity, and the tokens to predict in them.
///
/// Without a stride, windows are consecutive, and the positions from context / 2 to context - 2 predict the next token.
/// With a stride, windows begin `stride` tokens apart, and the last `stride` predictions of each are scored. The first
/// token of every window is replaced by BOS if the vocabulary requires one.
public struct ScoringWindows: Sendable, Equatable {
  /// The windows of one of several texts.
  public struct Part: Sendable, Equatable, Codable {
    /// The text's name.
    public let name: String
    /// The kind of text, such as code or chat, by which reports are grouped.
    public let kind: String
    /// The indices of the text's windows.
    public let windows: Range<Int>
  }

  /// The tokens of a window.
  public let context: Int
  /// The positions of each window whose logits are scored.
  public let scored: Range<Int>
  /// The token ids that the model gets; all windows have one length.
  public private(set) var windows: [[Int32]]
  /// The token after each scored position, window after window: `targets.count == windows.count * scored.count`.
  public private(set) var targets: [Int32]
  /// The texts, in order.
  public private(set) var parts: [Part]
  /// The number of each window in messages: its index in the whole text, also after ``selecting(_:)``.
  public private(set) var numbers: [Int]

  /// - Parameters:
  ///   - context: the tokens of a window.
  ///   - bos: the first token of every window; nil if the vocabulary adds none.
  ///   - stride: the distance of windows in tokens; nil for consecutive windows.
  ///   - limit: the maximum number of windows.
  ///   - kind: the kind of text; nil to use the name.
  /// - Throws: ``ScoringError/textTooShort(name:tokens:needed:)``, ``ScoringError/badWindow(context:stride:)``
  public init(
    tokens: [Int32], context: Int = 512, bos: Int32?, stride: Int? = nil, limit: Int? = nil, name: String = "text",
    kind: String? = nil
  ) throws(ScoringError) {
    guard context >= 4 else { throw .badWindow(context: context, stride: nil) }
    if let stride, stride < 1 || stride >= context { throw .badWindow(context: context, stride: stride) }
    guard tokens.count >= context else { throw .textTooShort(name: name, tokens: tokens.count, needed: context) }
    self.context = context
    scored = (stride.map { context - $0 - 1 } ?? context / 2)..<context - 1
    let step = stride ?? context
    let count = min((tokens.count - context) / step + 1, limit ?? Int.max)
    windows = []
    targets = []
    for index in 0..<max(0, count) {
      let start = index * step
      var window = Array(tokens[start..<start + context])
      targets += window[scored.lowerBound + 1..<scored.upperBound + 1]
      if let bos { window[0] = bos }
      windows.append(window)
    }
    parts = [Part(name: name, kind: kind ?? name, windows: 0..<windows.count)]
    numbers = Array(0..<windows.count)
  }

  /// Takes complete windows.
  ///
  /// - Precondition: all have one length, which is larger than the end of `scored`.
  public init(windows: [[Int32]], scored: Range<Int>, parts: [Part] = []) {
    context = windows.first?.count ?? 0
    self.scored = scored
    self.windows = windows
    targets = windows.flatMap { $0[scored.lowerBound + 1..<scored.upperBound + 1] }
    self.parts = parts
    numbers = Array(windows.indices)
  }

  /// Scored positions from windows of different lengths, as one window in which each has its index as position.
  init(selected targets: [Int32]) {
    context = targets.count + 1
    scored = 0..<targets.count
    windows = [[]]
    self.targets = targets
    parts = []
    numbers = [0]
  }

  /// The windows of several texts as one text.
  ///
  /// - Precondition: all texts have the same context and stride.
  public init(joining texts: [ScoringWindows]) {
    precondition(!texts.isEmpty && texts.allSatisfy { $0.scored == texts[0].scored && $0.context == texts[0].context })
    self = texts[0]
    for text in texts.dropFirst() {
      parts += text.parts.map { part in
        Part(
          name: part.name, kind: part.kind,
          windows: part.windows.lowerBound + windows.count..<part.windows.upperBound + windows.count)
      }
      windows += text.windows
      targets += text.targets
    }
    numbers = Array(windows.indices)
  }

  /// The number of scored positions in all windows.
  public var rowCount: Int { windows.count * scored.count }

  /// Some of the windows, in any order. They keep their ``numbers``.
  public func selecting(_ chosen: [Int]) -> ScoringWindows {
    var selection = self
    selection.windows = chosen.map { windows[$0] }
    selection.numbers = chosen.map { numbers[$0] }
    selection.targets = chosen.flatMap { targets[rows(ofWindows: $0..<$0 + 1)] }
    selection.parts = []
    for (slot, index) in chosen.enumerated() {
      guard let part = parts.first(where: { $0.windows.contains(index) }) else { continue }
      if let last = selection.parts.last, last.name == part.name, last.kind == part.kind {
        selection.parts.removeLast()
        selection.parts.append(
          Part(name: part.name, kind: part.kind, windows: last.windows.lowerBound..<slot + 1))
      } else {
        selection.parts.append(Part(name: part.name, kind: part.kind, windows: slot..<slot + 1))
      }
    }
    return selection
  }

  /// Consecutive windows.
  public subscript(range: Range<Int>) -> ScoringWindows { selecting(Array(range)) }

  /// The scored rows of a range of windows.
  public func rows(ofWindows range: Range<Int>) -> Range<Int> {
    range.lowerBound * scored.count..<range.upperBound * scored.count
  }

  /// The window's number and the position of a scored row, for messages.
  func location(ofRow row: Int) -> (window: Int, position: Int) {
    (numbers[row / scored.count], scored.lowerBound + row % scored.count)
  }
}
