import Foundation
import GGUF
import Quantize
import Tensors

/// A table without probes, from a published table or a table of another model, joined with the prior.
///
/// Both give log coefficients, in different units: the median difference is removed. Each is weighted by its inverse
/// variance. Errors of tensors in types are those of this model's weights.
public struct ImportedEvidence: Sendable {
  /// Tensors and classes that do not fit, for messages.
  public struct Fit: Sendable, Equatable {
    /// Tensors or classes of the table that this model does not have.
    public internal(set) var leftOver: [String] = []
    /// Quantizable tensors of the model that the table has nothing for: they get the prior.
    public internal(set) var missing: [String] = []
    /// Number of tensors or classes in the table.
    public internal(set) var count = 0
    /// The floor that was subtracted from every measurement in a type, by the type's name (``MeasurementFloor``).
    public internal(set) var floors: [String: Double] = [:]
  }

  public let table: SensitivityTable
  public let fit: Fit

  /// Robust standard deviation of log worth between two models of one kin with the same layers (Qwen3.6-27B by Qwen3.5-27B,
  /// GLM-4.6 by GLM-4.5 and six other pairs of the tables behind ``Prior``).
  static let publishedSpread = 0.12
  /// The same between siblings of different sizes, by class and relative depth (eight pairs).
  static let siblingSpread = 0.33

  /// - Parameter imported: log coefficients in an unknown unit, with their spreads, by the base's entries; nil where the import
  ///   has nothing.
  private init(joining imported: [Expectation?], _ base: SensitivityTable, grade: Evidence, fit: Fit) {
    var table = base
    let differences = zip(imported, base.entries).compactMap { one, entry in
      one.flatMap { one in entry.expectation.map { one.log - $0.log } }
    }.sorted()
    let unit = differences.isEmpty ? 0 : differences[differences.count / 2]
    for (index, one) in imported.enumerated() {
      guard let expected = base.entries[index].expectation else { continue }
      let prior = (log: expected.log + unit, weight: 1 / (expected.spread * expected.spread))
      let other = one.map { (log: $0.log, weight: 1 / ($0.spread * $0.spread)) } ?? (log: 0, weight: 0)
      table.entries[index].expectation = Expectation(
        log: (prior.log * prior.weight + other.log * other.weight) / (prior.weight + other.weight),
        spread: (1 / (prior.weight + other.weight)).squareRoot())
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
    // Tensors of one layer that repeat a value were measured together: each gets a share of it, by its expectation.
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
      // A value at the floor contains no information: the tensor gets the prior.
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
    let profiles = Self.profiles(sibling)
    let classes = Self.classes(base)
    let layers = Self.layers(base)
    var fit = Fit()
    let imported = zip(base.entries, classes).map { entry, name -> Expectation? in
      guard let points = profiles[name] else {
        fit.missing.append(entry.tensor)
        return nil
      }
      let depth = Self.depth(of: entry.tensor, layers: layers)
      return Expectation(
        log: Self.interpolated(points, at: depth) - log(LowBitError.estimate(entry.errors)), spread: Self.siblingSpread)
    }
    fit.leftOver = Set(profiles.keys).subtracting(classes).sorted()
    fit.count = profiles.count
    self.init(joining: imported, base, grade: .sibling, fit: fit)
  }

  /// The mean over several types of a tensor, whose deviations are the same: the spread does not fall with their number.
  private static func mean(_ rows: [Expectation]?) -> Expectation? {
    guard let rows else { return nil }
    // Sorted, so that sums do not depend on the order of a dictionary.
    let logs = rows.map(\.log).sorted(), spreads = rows.map(\.spread).sorted()
    let count = Double(rows.count)
    return Expectation(log: logs.reduce(0, +) / count, spread: spreads.reduce(0, +) / count)
  }

  /// The error of a tensor in a type. In a type that its rows can't have, estimated by the ratio of mean errors.
  private static func error(_ errors: [String: Double], as type: GGMLType) -> Double {
    if let error = errors[type.name], error > 0 { return error }
    let low = LowBitError.estimate(errors)
    return low * (LowBitError.mean(of: type) ?? 0) / (LowBitError.mean(of: .iq1_m) ?? 1)
  }

  // MARK: refusals

  /// Refuses a table with impossible values, or with tensors that the model does not have.
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

  /// Refuses a sibling that lacks classes of the model.
  ///
  /// - Throws: ``SensitivityError``
  public func checkClasses(file: String) throws(SensitivityError) {
    let classes = Set(fit.missing.map { TensorName($0).title }).sorted()
    guard classes.isEmpty else { throw .otherClasses(file: file, model: table.model, classes: classes) }
  }

  /// Refuses a table of which nothing fits, which can't be used even in part.
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

  /// The class of every entry. Tied and untied embeddings are two classes.
  private static func classes(_ table: SensitivityTable) -> [String] {
    let isTied = !table.entries.contains { $0.tensor == "output.weight" }
    return table.entries.map { entry in
      let name = TensorName(entry.tensor).title
      return isTied && name == "token_embd" ? "token_embd.tied" : name
    }
  }

  /// The middle of a tensor's layer as a fraction of the model's depth; 0 outside layers.
  private static func depth(of tensor: String, layers: Int) -> Double {
    TensorName(tensor).layer.map { (Double($0) + 0.5) / Double(layers) } ?? 0
  }

  /// Log worth by class and relative depth, in the order of depths.
  private static func profiles(_ table: SensitivityTable) -> [String: [(depth: Double, log: Double)]] {
    let layers = layers(table)
    var result: [String: [(depth: Double, log: Double)]] = [:]
    for (entry, name) in zip(table.entries, classes(table)) where entry.coefficient > 0 {
      let depth = depth(of: entry.tensor, layers: layers)
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
