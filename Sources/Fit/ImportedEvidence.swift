import Foundation
import GGUF
import Quantize
import Tensors

/// Joins what is known of other models, or was published of this one, with the prior, in a table without probes.
///
/// Both speak of log coefficients; one of them in another unit, so that the median difference is taken out. Each counts by
/// its variance. Errors of (tensor, type) are those of this model's weights.
public struct ImportedEvidence: Sendable {
  /// Tensors and classes that did not fit, for messages.
  public struct Fit: Sendable, Equatable {
    /// Names in the table that this model does not have.
    public internal(set) var leftOver: [String] = []
    /// Quantizable tensors of the model that the table does not speak of: the prior stands in for them.
    public internal(set) var missing: [String] = []
    /// Names in the table altogether.
    public internal(set) var count = 0
    /// What was subtracted from every measurement in a type, by the type's name (``MeasurementFloor``).
    public internal(set) var floors: [String: Double] = [:]
  }

  public let table: SensitivityTable
  public let fit: Fit

  /// Robust standard deviation of log worth between two models of a kin with the same layers (Qwen3.6-27B by Qwen3.5-27B,
  /// GLM-4.6 by GLM-4.5 and six other pairs of the tables behind ``Prior``).
  static let publishedSpread = 0.12
  /// The same between siblings of other sizes, by class and relative depth (eight pairs).
  static let siblingSpread = 0.33

  /// - Parameter known: log coefficients in an unknown unit and their spreads, by the table's entries; nil where nothing is
  ///   known.
  private init(joining known: [Expectation?], _ base: SensitivityTable, grade: Evidence, fit: Fit) {
    var table = base
    let differences = zip(known, base.entries).compactMap { known, entry in
      known.flatMap { known in entry.expectation.map { known.log - $0.log } }
    }.sorted()
    let unit = differences.isEmpty ? 0 : differences[differences.count / 2]
    for (index, known) in known.enumerated() {
      guard let expected = base.entries[index].expectation else { continue }
      let prior = (log: expected.log + unit, weight: 1 / (expected.spread * expected.spread))
      let own = known.map { (log: $0.log, weight: 1 / ($0.spread * $0.spread)) } ?? (log: 0, weight: 0)
      table.entries[index].expectation = Expectation(
        log: (prior.log * prior.weight + own.log * own.weight) / (prior.weight + own.weight),
        spread: (1 / (prior.weight + own.weight)).squareRoot())
    }
    table.evidence = grade
    table.distribute()
    self.table = table
    self.fit = fit
  }

  /// - Parameter base: this model's errors and prior (``PriorSensitivities``).
  public init(_ published: PublishedTable, joinedWith base: SensitivityTable) {
    let names = Set(base.entries.map(\.tensor))
    let errors = Dictionary(base.entries.map { ($0.tensor, $0.errors) }, uniquingKeysWith: { first, _ in first })
    // Tensors of one layer that repeat a value were measured together: it is shared out by their expectations.
    struct Key: Hashable {
      let layer: Int?
      let type: GGMLType
      let value: Double
    }
    let groups = Dictionary(grouping: published.values.filter { names.contains($0.tensor) }) {
      Key(layer: TensorName($0.tensor).layer, type: $0.type, value: $0.divergence)
    }
    let expected = Dictionary(
      base.entries.map { ($0.tensor, $0.expectation?.log ?? 0) }, uniquingKeysWith: { first, _ in first })
    let floors = Dictionary(
      grouping: published.values.filter { TensorName($0.tensor).layer != nil }, by: \.type
    ).mapValues { MeasurementFloor.estimate($0.map(\.divergence)) }
    var measured: [String: [Expectation]] = [:]
    for (key, group) in groups {
      let tensors = key.layer == nil ? group.prefix(1) : group[...]
      let sum = tensors.reduce(0) { sum, one in
        sum + exp(expected[one.tensor] ?? 0) * Self.error(errors[one.tensor] ?? [:], as: key.type)
      }
      // A value at the floor says nothing: the prior stands in.
      let value = key.value - (floors[key.type] ?? 0)
      guard sum > 0, value > 0 else { continue }
      // The noise of a value is a larger part of its difference to the floor.
      let spread = Self.publishedSpread * key.value / value
      for one in group {
        measured[one.tensor, default: []].append(
          Expectation(log: log(value / sum) + (expected[one.tensor] ?? 0), spread: spread))
      }
    }
    let listed = Set(published.values.map(\.tensor))
    var fit = Fit()
    fit.leftOver = listed.subtracting(names).sorted()
    fit.missing = base.entries.map(\.tensor).filter { measured[$0] == nil }
    fit.count = listed.count
    for (type, floor) in floors where floor > 0 { fit.floors[type.name] = floor }
    self.init(joining: base.entries.map { Self.mean(measured[$0.tensor]) }, base, grade: .published, fit: fit)
  }

  /// - Parameter base: this model's errors and prior (``PriorSensitivities``).
  public init(sibling: SensitivityTable, joinedWith base: SensitivityTable) {
    let own = Self.profiles(sibling)
    let classes = Self.classes(base)
    let layers = Self.layers(base)
    var fit = Fit()
    let known = zip(base.entries, classes).map { entry, name -> Expectation? in
      guard let points = own[name] else {
        fit.missing.append(entry.tensor)
        return nil
      }
      let depth = TensorName(entry.tensor).layer.map { (Double($0) + 0.5) / Double(layers) } ?? 0
      return Expectation(
        log: Self.interpolated(points, at: depth) - log(LowBitError.estimate(entry.errors)), spread: Self.siblingSpread)
    }
    fit.leftOver = Set(own.keys).subtracting(classes).sorted()
    fit.count = own.count
    self.init(joining: known, base, grade: .sibling, fit: fit)
  }

  /// The mean of several rows of a table, which repeat each other's deviations: their spreads do not fall with the number.
  private static func mean(_ rows: [Expectation]?) -> Expectation? {
    guard let rows else { return nil }
    // Sorted, so that sums do not depend on the order of a dictionary.
    let logs = rows.map(\.log).sorted(), spreads = rows.map(\.spread).sorted()
    let count = Double(rows.count)
    return Expectation(log: logs.reduce(0, +) / count, spread: spreads.reduce(0, +) / count)
  }

  private static func error(_ errors: [String: Double], as type: GGMLType) -> Double {
    if let error = errors[type.name], error > 0 { return error }
    // A type that this model's rows can't have: by the ratio of mean errors.
    let low = LowBitError.estimate(errors)
    return low * (LowBitError.mean(of: type) ?? 0) / (LowBitError.mean(of: .iq1_m) ?? 1)
  }

  // MARK: refusals

  /// Refuses a table that names other tensors than the model has, or values that can't be.
  ///
  /// - Throws: ``SensitivityError``
  public func check(_ published: PublishedTable, file: String) throws(SensitivityError) {
    if let first = published.unusable.first {
      throw .unusableValues(file: file, count: published.unusable.count, first: first)
    }
    guard fit.leftOver.isEmpty else {
      throw .otherNames(
        file: file, model: table.model, count: fit.leftOver.count, of: fit.count, first: Array(fit.leftOver.prefix(3)))
    }
  }

  /// Refuses a sibling without some of the model's classes.
  ///
  /// - Throws: ``SensitivityError``
  public func checkClasses(file: String) throws(SensitivityError) {
    let classes = Set(fit.missing.map { TensorName($0).title }).sorted()
    guard classes.isEmpty else { throw .otherClasses(file: file, model: table.model, classes: classes) }
  }

  /// Refuses a table of which nothing fits, however lenient one is.
  ///
  /// - Throws: ``SensitivityError``
  public func checkThatSomethingFits(file: String) throws(SensitivityError) {
    guard fit.missing.count < table.entries.count else {
      throw .malformed(file: file, reason: "nothing in it fits \(table.model)")
    }
  }

  // MARK: classes and depths

  private static func layers(_ table: SensitivityTable) -> Int {
    (table.entries.compactMap { TensorName($0.tensor).layer }.max() ?? 0) + 1
  }

  /// The class of every entry. A tied embedding is another class than one that is not.
  private static func classes(_ table: SensitivityTable) -> [String] {
    let isTied = !table.entries.contains { $0.tensor == "output.weight" }
    return table.entries.map { entry in
      let name = TensorName(entry.tensor).title
      return isTied && name == "token_embd" ? "token_embd.tied" : name
    }
  }

  /// Log worth by class and relative depth, in the order of depths.
  private static func profiles(_ table: SensitivityTable) -> [String: [(depth: Double, log: Double)]] {
    let layers = layers(table)
    var result: [String: [(depth: Double, log: Double)]] = [:]
    for (entry, name) in zip(table.entries, classes(table)) where entry.coefficient > 0 {
      let depth = TensorName(entry.tensor).layer.map { (Double($0) + 0.5) / Double(layers) } ?? 0
      result[name, default: []].append((depth, log(entry.coefficient * LowBitError.estimate(entry.errors))))
    }
    return result.mapValues { $0.sorted { ($0.depth, $0.log) < ($1.depth, $1.log) } }
  }

  private static func interpolated(_ points: [(depth: Double, log: Double)], at depth: Double) -> Double {
    guard let after = points.firstIndex(where: { $0.depth >= depth }) else { return points[points.count - 1].log }
    guard after > 0, points[after].depth > points[after - 1].depth else { return points[after].log }
    let share = (depth - points[after - 1].depth) / (points[after].depth - points[after - 1].depth)
    return points[after - 1].log * (1 - share) + points[after].log * share
  }
}
