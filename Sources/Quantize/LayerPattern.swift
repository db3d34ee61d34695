/// Short regular expressions for sets of layer numbers: 3 to 12 is `([3-9]|1[0-2])`.
enum LayerPattern {
  /// A pattern that matches exactly the decimal numbers of the set, in parentheses if needed.
  static func regex(for layers: Set<Int>) -> String {
    let alternatives = alternatives(for: layers)
    return alternatives.count == 1 ? alternatives[0] : "(" + alternatives.joined(separator: "|") + ")"
  }

  private static func alternatives(for layers: Set<Int>) -> [String] {
    // Grouped by all digits but the last. Prefixes with the same set of last digits share an alternative.
    let byPrefix = Dictionary(grouping: layers) { $0 / 10 }.mapValues { Set($0.map { $0 % 10 }) }
    var byDigits: [(digits: Set<Int>, prefixes: Set<Int>)] = []
    for (prefix, digits) in byPrefix.sorted(by: { $0.key < $1.key }) {
      // A missing prefix is stored as 0, and must not be merged with other prefixes.
      if prefix > 0, let index = byDigits.firstIndex(where: { $0.digits == digits && !$0.prefixes.contains(0) }) {
        byDigits[index].prefixes.insert(prefix)
      } else {
        byDigits.append((digits, [prefix]))
      }
    }
    return byDigits.map { digits, prefixes in
      (prefixes == [0] ? "" : regex(for: prefixes)) + characterClass(digits.sorted())
    }
  }

  private static func characterClass(_ digits: [Int]) -> String {
    guard digits.count > 1 else { return digits.map(String.init).joined() }
    var runs: [ClosedRange<Int>] = []
    for digit in digits {
      if let last = runs.last, last.upperBound == digit - 1 {
        runs[runs.count - 1] = last.lowerBound...digit
      } else {
        runs.append(digit...digit)
      }
    }
    let parts = runs.map { run in
      run.count == 1
        ? "\(run.lowerBound)"
        : run.count == 2
          ? "\(run.lowerBound)\(run.upperBound)"
          : "\(run.lowerBound)-\(run.upperBound)"
    }
    return "[" + parts.joined() + "]"
  }
}
