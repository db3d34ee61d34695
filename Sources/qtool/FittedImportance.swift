import Fit
import GGUF
import Imatrix
import Quantize
import Tensors

extension ImportanceMatrix {
  /// Reads a matrix and fits it to a model. Notes the tensors without importance and the unused entries.
  ///
  /// - Parameter layers: removed layers of the model.
  init(path: String, for model: any ModelSource, without layers: Set<Int> = [], _ progress: Progress) throws {
    let matrix = try ImportanceMatrix(path: path)
    let file = path.split(separator: "/").last.map(String.init) ?? path
    let fit = try matrix.fitted(to: model, file: file)
    self = fit.matrix
    noteMissing(from: model, without: layers, named: file, progress)
    if !fit.leftOver.isEmpty {
      let count = fit.leftOver.count == 1 ? "1 entry" : "\(fit.leftOver.count) entries"
      progress.note(
        "note: \(file) has \(count) that \(model.name) has no tensor for: \(firstNames(of: fit.leftOver))")
    }
    matrix.noteUnread(named: file, progress)
  }

  /// Notes the tensors without importance, except the embedding and the output head, which few files have.
  func noteMissing(
    from model: any ModelSource, without layers: Set<Int> = [], named name: String, _ progress: Progress
  ) {
    let missing = tensorsWithoutImportance(in: model).filter {
      $0.role != .tokenEmbedding && $0.role != .output && $0.layer.map(layers.contains) != true
    }
    if !missing.isEmpty { progress.noteMissing(missing.map(\.name), of: model.name, named: name) }
  }

  /// Notes the tensors of the file that are not importance.
  func noteUnread(named file: String, _ progress: Progress) {
    guard !unread.isEmpty else { return }
    progress.note("note: \(file): \(unread.count) tensors are not importance: \(firstNames(of: unread))")
  }
}

extension TypeConstraints {
  /// Notes the tensors that get another type because they have no importance, one line per type.
  func noteReplacements(in types: [GGMLType], of model: any ModelSource, _ progress: Progress) throws {
    let replaced = try replacements(in: types, of: model)
    for group in Dictionary(grouping: replaced, by: { [$0.wanted, $0.given] }).values
      .sorted(by: { $0[0].tensor < $1[0].tensor })
    {
      let count = group.count == 1 ? "1 tensor" : "\(group.count) tensors"
      progress.note(
        "note: \(count) without importance: \(group[0].given) in place of \(group[0].wanted), which needs it: "
          + firstNames(of: group.map(\.tensor)))
    }
  }
}

/// The first three names of a list.
func firstNames(of names: [String]) -> String {
  names.prefix(3).joined(separator: ", ") + (names.count > 3 ? ", ..." : "")
}

extension Progress {
  /// Notes the tensors of a model that an importance matrix lacks.
  func noteMissing(_ tensors: [String], of model: String, named name: String) {
    note(
      "note: \(name) has no importance for \(tensors.count == 1 ? "1 tensor" : "\(tensors.count) tensors") of \(model): "
        + firstNames(of: tensors))
  }
}
