import Blocks
import GGUF
import Imatrix
import Quantize
import Tensors
import Transformer

extension ImportanceMatrix {
  /// The matrix of a file as a model takes it. Says which tensors it lacks and which entries are left over.
  ///
  /// - Parameter layers: layers of the model that will not be used.
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

  /// Says which matrices have no importance. The embedding and the output head are not named: few files know them.
  func noteMissing(
    from model: any ModelSource, without layers: Set<Int> = [], named name: String, _ progress: Progress
  ) {
    let missing = tensorsWithoutImportance(in: model).filter {
      $0.role != .tokenEmbedding && $0.role != .output && $0.layer.map(layers.contains) != true
    }
    guard !missing.isEmpty else { return }
    progress.note(
      "note: \(name) has no importance for \(missing.count == 1 ? "1 tensor" : "\(missing.count) tensors") of "
        + "\(model.name): \(firstNames(of: missing.map(\.name)))")
  }

  /// Says which tensors of the file are not importance.
  func noteUnread(named file: String, _ progress: Progress) {
    guard !unread.isEmpty else { return }
    progress.note("note: \(file): \(unread.count) tensors are not importance: \(firstNames(of: unread))")
  }

  /// What a quantizer may change and this does not know.
  func tensorsWithoutImportance(in model: any ModelSource) -> [TensorInfo] {
    model.tensors.filter { $0.isQuantizable && !hasImportance(for: $0) }
  }
}

extension TypeConstraints {
  /// Keeps types that need importance from the tensors that have none.
  ///
  /// - Parameter matrix: nil where it is still to be computed: a forward pass sees the inputs of its layers' matrices.
  mutating func follow(_ matrix: ImportanceMatrix?, of model: any ModelSource) throws {
    if let matrix {
      withoutImportance = Set(matrix.tensorsWithoutImportance(in: model).map(\.name))
    } else {
      let seen = Set(try Decoder(model).layerMatrices.map(\.name))
      withoutImportance = Set(model.tensors.filter(\.isQuantizable).map(\.name)).subtracting(seen)
    }
  }

  /// Refuses pins that need importance where there is none at all.
  func checkNoImportance(_ model: any ModelSource) throws {
    for tensor in model.tensors where tensor.isQuantizable {
      if let pinned = pinned(tensor), pinned != tensor.type, pinned.needsImportance {
        throw QuantizeError.needsImportance(tensor: tensor.name, type: pinned)
      }
    }
  }

  /// Says which tensors get another type because they have no importance, a line for each type.
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

/// The first three of a list, for one line.
func firstNames(of names: [String]) -> String {
  names.prefix(3).joined(separator: ", ") + (names.count > 3 ? ", ..." : "")
}
