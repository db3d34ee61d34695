/// A text cut into windows as llama-perplexity does, and the tokens that are to be predicted in them.
///
/// Without a stride, windows of `context` tokens follow each other, and the positions from context / 2 to context - 2
/// predict their next token. With a stride, windows begin `stride` tokens apart and the last `stride` predictions of
/// each count. The first token of every window is replaced by BOS where the vocabulary asks for one.
public struct ScoringWindows: Sendable, Equatable {
  /// A text among several: which windows are its own.
  public struct Part: Sendable, Equatable, Codable {
    /// The text's name.
    public let name: String
    /// Code, chat, news and the like; what rows of a report are grouped by.
    public let kind: String
    /// Its windows.
    public let windows: Range<Int>
  }

  /// Tokens in a window.
  public let context: Int
  /// The positions of every window whose logits are scored.
  public let scored: Range<Int>
  /// Token ids as the model gets them, all windows of one length.
  public private(set) var windows: [[Int32]]
  /// The token after each scored position, window after window: `targets.count == windows.count * scored.count`.
  public private(set) var targets: [Int32]
  /// The texts, in order.
  public private(set) var parts: [Part]
  /// What messages call each window: its place in the whole text where these are some of its windows.
  public private(set) var numbers: [Int]

  /// - Parameters:
  ///   - bos: the token that begins every window; nil where the vocabulary adds none.
  ///   - limit: how many windows to score at most.
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

  /// Windows as they are; all are of one length, and the positions after the scored ones lie in them.
  public init(windows: [[Int32]], scored: Range<Int>, parts: [Part] = []) {
    context = windows.first?.count ?? 0
    self.scored = scored
    self.windows = windows
    targets = windows.flatMap { $0[scored.lowerBound + 1..<scored.upperBound + 1] }
    self.parts = parts
    numbers = Array(windows.indices)
  }

  /// Positions that belong to no common window: one window that names each by its number.
  init(selected targets: [Int32]) {
    context = targets.count + 1
    scored = 0..<targets.count
    windows = [[]]
    self.targets = targets
    parts = []
    numbers = [0]
  }

  /// The windows of several texts as one text. They must agree in context and stride (a precondition).
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

  /// Scored positions in all windows.
  public var rowCount: Int { windows.count * scored.count }

  /// Some of the windows, in any order; they keep their numbers in messages.
  public func selecting(_ chosen: [Int]) -> ScoringWindows {
    var selection = self
    selection.windows = chosen.map { windows[$0] }
    selection.numbers = chosen.map { numbers[$0] }
    selection.targets = chosen.flatMap { targets[rows(ofWindows: $0..<$0 + 1)] }
    selection.parts = []
    for (place, index) in chosen.enumerated() {
      guard let part = parts.first(where: { $0.windows.contains(index) }) else { continue }
      if let last = selection.parts.last, last.name == part.name, last.kind == part.kind {
        selection.parts.removeLast()
        selection.parts.append(
          Part(name: part.name, kind: part.kind, windows: last.windows.lowerBound..<place + 1))
      } else {
        selection.parts.append(Part(name: part.name, kind: part.kind, windows: place..<place + 1))
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

  /// Where a scored row lies in the text.
  func place(ofRow row: Int) -> (window: Int, position: Int) {
    (numbers[row / scored.count], scored.lowerBound + row % scored.count)
  }
}
