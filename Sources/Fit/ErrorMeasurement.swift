import Blocks
import GGUF
import Quantize
import Tensors

/// Measures the relative errors of tensors in every type, and appends them to a table.
struct ErrorMeasurement {
  let source: any ModelSource
  let importance: Importance?
  /// The types of every tensor; those that a tensor's rows can't have are left out.
  let types: [GGMLType]
  var errors = RelativeErrors()
  /// Whether the time for full samples is over: the remaining tensors get the smallest ones.
  var isLate: () -> Bool = { false }
  /// The tensors to measure; nil for all.
  var chosen: Set<String>?

  /// Measures the tensors that the table lacks.
  ///
  /// - Parameters:
  ///   - more: a type that a tensor needs beside the others.
  ///   - progress: advances before every tensor.
  ///   - save: called with the table so far, every half minute and before an error of `progress`.
  func complete(
    _ table: inout SensitivityTable, adding more: (TensorInfo) -> GGMLType? = { _ in nil },
    progress: any RunObserver, save: (SensitivityTable) throws -> Void = { _ in }
  ) throws {
    var present = Set(table.entries.map(\.tensor))
    var saved = ContinuousClock.now
    let tensors = source.tensors.filter(\.isQuantizable)
    for (index, tensor) in tensors.enumerated()
    where !present.contains(tensor.name) && chosen?.contains(tensor.name) != false {
      do {
        try progress.advance(
          RunProgress(
            fraction: Double(index) / Double(tensors.count), step: index, stepCount: tensors.count,
            detail: "errors of \(tensor.name)"))
      } catch {
        try save(table)
        throw error
      }
      let all = Set(types + [more(tensor)].compactMap { $0 }).sorted { $0.rawValue < $1.rawValue }
      var errors = errors
      if isLate() { errors.weightLimit = RelativeErrors.minimumWeights }
      let measured = try errors.measure(tensor, of: source, types: all, importance: importance?(tensor))
      table.entries.append(
        SensitivityTable.Entry(
          tensor: tensor.name, dimensions: tensor.shape.dimensions,
          errors: Dictionary(uniqueKeysWithValues: measured.map { ($0.key.name, $0.value) }), probe: nil,
          coefficient: 0))
      present.insert(tensor.name)
      if ContinuousClock.now - saved > .seconds(30) {
        try save(table)
        saved = .now
      }
    }
  }
}
