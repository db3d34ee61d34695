/// Consecutive rows of MLX's file, with the rows of GGUF's order that they are, relative to the first one asked for.
struct MLXRowRun {
  /// The first row in its tensor.
  let target: Int
  /// The index of the tensor, where one of a GGUF is several.
  let part: Int
  let sources: [Int]

  /// - Parameters:
  ///   - first: the first of `count` rows in GGUF's order.
  ///   - order: nil where both orders are the same.
  static func all(_ first: Int, _ count: Int, _ order: MLXRowOrder?) -> [MLXRowRun] {
    guard let order else { return [MLXRowRun(target: first, part: 0, sources: Array(0..<count))] }
    let limit = order.rowsOfPart ?? .max
    let targets = (0..<count).map { (target: order.target(first + $0), source: $0) }.sorted { $0.target < $1.target }
    var runs: [MLXRowRun] = []
    var start = 0
    while start < count {
      var end = start + 1
      while end < count, targets[end].target == targets[end - 1].target + 1, targets[end].target % limit != 0 {
        end += 1
      }
      let target = targets[start].target
      runs.append(
        MLXRowRun(target: target % limit, part: target / limit, sources: targets[start..<end].map(\.source)))
      start = end
    }
    return runs
  }
}
