import GGUF
import Perplexity
import Quantize
import Tensors

/// The domain of a search: each tensor's options, the groups that change together, and the bytes available.
package struct SearchSpace {
  /// Options of every tensor at the table's costs, in the source's order.
  package let options: [[AllocationOption]]
  /// Group number of every tensor, from 0 in order of appearance. Tensors of a group share a coefficient.
  package let groups: [Int]
  package let groupCount: Int
  /// Cost of probing all groups, in passes over a text. A probe starts at its group's first layer.
  package let probePasses: Double
  /// The allocation for costs multiplied by factors, in the source's order; nil if nothing fits.
  package let allocate: ([Double]) throws -> [GGMLType]?
  /// Target minus the bytes of a file of these types; negative if the file is too large.
  package let spare: ([GGMLType]) throws -> Int

  /// - Parameter groups: group by tensor, as any numbers.
  package init(
    tensors: [TensorInfo], options: [[AllocationOption]], groups: [Int],
    allocate: @escaping ([Double]) throws -> [GGMLType]?, spare: @escaping ([GGMLType]) throws -> Int
  ) {
    self.options = options
    self.allocate = allocate
    self.spare = spare
    var numbers: [Int: Int] = [:]
    self.groups = groups.map { group in
      let number = numbers[group] ?? numbers.count
      numbers[group] = number
      return number
    }
    groupCount = numbers.count
    let layers = Double((tensors.compactMap(\.layer).max() ?? 0) + 1)
    var first = [Double](repeating: layers, count: groupCount)
    for (index, tensor) in tensors.enumerated() where options[index].count > 1 {
      let layer = tensor.layer.map(Double.init) ?? (tensor.role == .tokenEmbedding ? 0 : layers)
      first[self.groups[index]] = min(first[self.groups[index]], layer)
    }
    probePasses = max(1, first.reduce(0) { $0 + (layers - $1) / layers })
  }

  func bytes(_ types: [GGMLType]) -> Int {
    types.enumerated().reduce(0) { sum, one in sum + (option(one.offset, one.element)?.bytes ?? 0) }
  }

  /// The table's cost of every group under a mix.
  func costs(_ types: [GGMLType]) -> [Double] {
    var result = [Double](repeating: 0, count: groupCount)
    for (index, type) in types.enumerated() { result[groups[index]] += option(index, type)?.cost ?? 0 }
    return result
  }

  private func option(_ tensor: Int, _ type: GGMLType) -> AllocationOption? {
    options[tensor].first { $0.type == type }
  }

  // MARK: steps

  enum Direction { case down, up }

  /// The mix with all tensors of a group one type lower or higher; nil if none of them has such a type.
  func stepped(_ types: [GGMLType], group: Int, _ direction: Direction, minimum: Double) -> [GGMLType]? {
    var result = types
    for index in groups.indices where groups[index] == group && options[index].count > 1 {
      result[index] = step(options[index], from: types[index], direction, minimum: minimum)
    }
    return result == types ? nil : result
  }

  /// Down: the smaller option of minimum cost per freed byte. Up: the smallest of the larger options that gain. The relative
  /// change of bytes is at least `minimum`.
  private func step(
    _ options: [AllocationOption], from type: GGMLType, _ direction: Direction, minimum: Double
  ) -> GGMLType {
    guard let now = options.first(where: { $0.type == type }) else { return type }
    let bytes = Double(now.bytes)
    switch direction {
    case .down:
      let smaller = options.filter { Double($0.bytes) < (1 - minimum) * bytes && $0.cost > now.cost }
      func price(_ option: AllocationOption) -> Double { (option.cost - now.cost) / Double(now.bytes - option.bytes) }
      return smaller.min { (price($0), $0.bytes) < (price($1), $1.bytes) }?.type ?? type
    case .up:
      let larger = options.filter { Double($0.bytes) > (1 + minimum) * bytes && $0.cost < now.cost }
      return larger.min { ($0.bytes, $0.cost) < ($1.bytes, $1.cost) }?.type ?? type
    }
  }
}

extension ScoringWindows {
  /// `count` windows, at least one, spread evenly over the text, so that they include all kinds of text.
  func spread(_ count: Int) -> ScoringWindows {
    let total = windows.count
    let count = max(1, count)
    guard count < total else { return self }
    return ScoringWindows(joining: (0..<count).map { self[$0 * total / count..<$0 * total / count + 1] })
  }

  /// Every k-th window, `count` in total. The offset increases by one with each round.
  func portion(_ round: Int, count: Int) -> ScoringWindows {
    guard count < windows.count else { return self }
    let stride = windows.count / count
    return ScoringWindows(joining: (0..<count).map { $0 * stride + round % stride }.map { self[$0..<$0 + 1] })
  }
}
