import CVectors

/// The `limit` tokens of greatest logit, greatest first; the lower id first where logits are equal.
///
/// A heap of the best so far has the worst of them on top; whole vectors that can't beat it are passed over.
/// O(count + limit log limit log count) for logits in random order.
func likeliestTokens(_ x: UnsafePointer<Float>, _ count: Int, limit: Int) -> [Int32] {
  guard limit > 0 else { return [] }
  var heap: [Int32] = []
  heap.reserveCapacity(limit)

  func isWorse(_ a: Int32, _ b: Int32) -> Bool {
    x[Int(a)] < x[Int(b)] || x[Int(a)] == x[Int(b)] && a > b
  }
  func siftDown() {
    var place = 0
    let moved = heap[0]
    while true {
      var child = 2 * place + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count && isWorse(heap[child + 1], heap[child]) { child += 1 }
      guard isWorse(heap[child], moved) else { break }
      heap[place] = heap[child]
      place = child
    }
    heap[place] = moved
  }

  // The first tokens in descending order of worth reversed are a heap.
  heap = (0..<Int32(limit)).sorted(by: isWorse)
  var i = limit
  while i < count {
    if i + 8 <= count && cv_largest(cv_load(x + i)) <= x[Int(heap[0])] {
      i += 8
      continue
    }
    let end = min(count, i + 8)
    while i < end {
      // Equal logits lose: their id is higher.
      if x[i] > x[Int(heap[0])] {
        heap[0] = Int32(i)
        siftDown()
      }
      i += 1
    }
  }
  return heap.sorted { isWorse($1, $0) }
}
