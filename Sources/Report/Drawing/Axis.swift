import Foundation

/// Maps values to coordinates, with round numbers as ticks.
struct Axis {
  let isLogarithmic: Bool
  let values: ClosedRange<Double>
  /// The coordinates of the smallest and the largest value.
  let coordinates: (from: Double, to: Double)

  /// An axis that contains `values` with a margin.
  init(_ values: [Double], logarithmic: Bool = false, fromZero: Bool = false, coordinates: (from: Double, to: Double)) {
    isLogarithmic = logarithmic
    self.coordinates = coordinates
    let usable = logarithmic ? values.filter { $0 > 0 } : values
    let minimum = usable.min() ?? (logarithmic ? 0.1 : 0)
    let maximum = usable.max() ?? 1
    if logarithmic {
      let margin = max(1.15, pow(maximum / minimum, 0.07))
      self.values = minimum / margin...maximum * margin
    } else {
      let margin = maximum > minimum ? (maximum - minimum) * 0.06 : max(abs(maximum) * 0.1, 1e-9)
      self.values = (fromZero ? 0 : minimum - margin)...maximum + margin
    }
  }

  func coordinate(_ value: Double) -> Double {
    func unit(_ value: Double) -> Double { isLogarithmic ? log(value) : value }
    let (low, high) = (unit(values.lowerBound), unit(values.upperBound))
    let clamped = min(max(value, values.lowerBound), values.upperBound)
    return coordinates.from + (unit(clamped) - low) / (high - low) * (coordinates.to - coordinates.from)
  }

  /// Round values on the axis: about `count`, or on a logarithmic axis 1, 2 and 5 times powers of ten.
  func ticks(about count: Int) -> [Double] {
    isLogarithmic ? logarithmicTicks(about: count) : linearTicks(about: count)
  }

  private func linearTicks(about count: Int) -> [Double] {
    let rough = (values.upperBound - values.lowerBound) / Double(max(1, count))
    let power = pow(10, floor(log10(rough)))
    let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough * 0.999 } ?? power
    let first = Int((values.lowerBound / step).rounded(.up))
    let last = Int((values.upperBound / step).rounded(.down))
    return first <= last ? (first...last).map { Double($0) * step } : []
  }

  private func logarithmicTicks(about count: Int) -> [Double] {
    let powers = Int(floor(log10(values.lowerBound)))...Int(ceil(log10(values.upperBound)))
    func ticks(_ steps: [Double]) -> [Double] {
      powers.flatMap { power in steps.map { $0 * pow(10, Double(power)) } }.filter(values.contains)
    }
    let all = ticks([1, 2, 5])
    if all.count <= count + 2 { return all.count >= 2 ? all : ticks([1, 1.5, 2, 3, 4, 5, 6, 8]) }
    let tens = ticks([1])
    return tens.count >= 2 ? tens : all
  }
}
