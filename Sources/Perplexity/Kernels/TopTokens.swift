import CVectors
import HeapModule

/// The `limit` tokens with the largest logits, in descending order; equal logits are in the order of ids.
///
/// The minimum of a heap is the worst of the best tokens so far. Vectors without a larger logit are skipped. Takes
/// O(count + limit log limit log count) for logits in random order.
func likeliestTokens(_ x: UnsafePointer<Float>, _ count: Int, limit: Int) -> [Int32] {
  guard limit > 0 else { return [] }
  var best = Heap((0..<Int32(limit)).map { RankedToken(logit: x[Int($0)], id: $0) })
  var worst = best.min!.logit
  var i = limit
  while i < count {
    if i + 8 <= count && cv_largest(cv_load(x + i)) <= worst {
      i += 8
      continue
    }
    let end = min(count, i + 8)
    while i < end {
      // Equal logits are not inserted, since their id is higher.
      if x[i] > worst {
        best.replaceMin(with: RankedToken(logit: x[i], id: Int32(i)))
        worst = best.min!.logit
      }
      i += 1
    }
  }
  return best.unordered.sorted(by: >).map(\.id)
}

/// Ordered by logit; of equal logits, the lower id is greater.
private struct RankedToken: Comparable {
  let logit: Float
  let id: Int32

  static func < (a: RankedToken, b: RankedToken) -> Bool {
    a.logit < b.logit || a.logit == b.logit && a.id > b.id
  }
}
