/// Consecutive rows of MLX's file, with the rows of GGUF's order that they are, relative to the first one asked for.
struct MLXRowRun {
  let target: Int
  let sources: [Int]

  /// - Parameters:
  ///   - first: the first of `count` rows in GGUF's order.
  ///   - order: nil where both orders are the same.
  static func all(_ first: Int, _ count: Int, _ order: MLXRowOrder?) -> [MLXRowRun] {
    guard let order else { return [MLXRowRun(target: first, sources: Array(0..<count))] }
    let targets = (0..<count).map { (target: order.target(first + $0), source: $0) }.sorted { $0.target < $1.target }
    var runs: [MLXRowRun] = []
    var start = 0
    while start < count {
      var end = start + 1
      while end < count, targets[end].target == targets[end - 1].target + 1 { end += 1 }
      runs.append(MLXRowRun(target: targets[start].target, sources: targets[start..<end].map(\.source)))
      start = end
    }
    return runs
  }
}
