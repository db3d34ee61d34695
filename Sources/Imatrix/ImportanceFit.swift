import GGUF
import Tensors

/// An importance matrix matched to a model's tensors.
///
///     let fit = try ImportanceMatrix(path: "R1.dat").fitted(to: model, file: "R1.dat")
///     let without = fit.missing(of: model.tensors)
public struct ImportanceFit: Sendable {
  /// The entries under the names of the model's tensors.
  public let matrix: ImportanceMatrix
  /// The names of entries without a tensor in the model, sorted.
  public let leftOver: [String]

  /// The tensors without importance, in their order.
  public func missing(of tensors: [TensorInfo]) -> [TensorInfo] { tensors.filter { !matrix.hasImportance(for: $0) } }
}

extension ImportanceMatrix {
  /// Matches entries to a model's tensors.
  ///
  /// Forward passes leave out tensors that do not contribute to the next token (layers for multi-token prediction, a
  /// vision encoder), and files differ in naming and splitting of matrices. Missing and additional entries are
  /// therefore accepted. An entry of another width is an error.
  ///
  /// - Parameter file: the matrix's name in errors.
  /// - Throws: ``ImatrixError/otherModel(file:tensor:reason:)`` if widths differ,
  ///   ``ImatrixError/nothingFits(file:entries:first:model:)``, ``ImatrixError/empty(file:entries:)``
  public func fitted(to model: any ModelSource, file: String) throws(ImatrixError) -> ImportanceFit {
    var result: [String: Entry] = [:]
    var used = Set<String>()
    for name in names {
      guard let tensor = model.tensor(named: name), let entry = entries[name] else { continue }
      guard entry.fits(tensor) else {
        let columns = tensor.shape.columns * tensor.shape.matrices
        let experts = entry.counts.count > 1 ? " by \(entry.counts.count) counts" : ""
        throw .otherModel(
          file: file, tensor: name, reason: "has \(entry.sums.count) columns\(experts), the model's has \(columns)")
      }
      result[name] = entry
      used.insert(name)
    }
    let aliases = Dictionary(names.map { (Self.tensorName($0), $0) }, uniquingKeysWith: { first, _ in first })
    for tensor in model.tensors where result[tensor.name]?.isInformative != true {
      for candidate in candidates(for: tensor, in: model, aliases) where candidate.entry.fits(tensor) {
        guard candidate.entry.isInformative else { continue }
        result[tensor.name] = candidate.entry
        used.formUnion(candidate.names)
        break
      }
    }
    guard result.values.contains(where: \.isInformative) else {
      guard entries.isEmpty || entries.values.contains(where: \.isInformative) else {
        throw .empty(file: file, entries: entries.count)
      }
      throw .nothingFits(file: file, entries: entries.count, first: names.first ?? "", model: model.name)
    }
    var fitted = self
    fitted.entries = result
    return ImportanceFit(matrix: fitted, leftOver: names.filter { !used.contains($0) })
  }

  /// The tensor of a graph's node: views and copies append a remark to its name, and schedulers prepend a device.
  ///
  ///     blk.0.attn_k_b.weight (reshaped)
  ///     CUDA0#blk.0.attn_q.weight#0
  static func tensorName(_ node: String) -> String {
    var name = Substring(node)
    let parts = name.split(separator: "#", omittingEmptySubsequences: false)
    if parts.count == 3 { name = parts[1] }
    while name.hasSuffix(")"), let remark = name.range(of: " (", options: .backwards) {
      name = name[..<remark.lowerBound]
    }
    return String(name)
  }

  /// Renames every entry to its tensor's name, unless another entry has that name.
  var withTensorNames: ImportanceMatrix {
    var result = self
    for name in names {
      let tensor = Self.tensorName(name)
      guard tensor != name, result.entries[tensor] == nil else { continue }
      result.entries[tensor] = result.entries.removeValue(forKey: name)
    }
    return result
  }
}

extension ImportanceMatrix {
  /// Entries with a tensor's importance under other names, best first: those of the same product, or of another product
  /// with the same input.
  private func candidates(
    for tensor: TensorInfo, in model: any ModelSource, _ aliases: [String: String]
  ) -> [(names: [String], entry: Entry)] {
    func lookUp(_ name: String) -> (names: [String], entry: Entry)? {
      aliases[name].flatMap { alias in entries[alias].map { ([alias], $0) } }
    }
    var result = [lookUp(tensor.name)].compactMap { $0 }
    // A tied head uses the embeddings, so the entry of the output applies to them.
    if tensor.name == "token_embd.weight", model.tensor(named: "output.weight") == nil {
      result += [lookUp("output.weight")].compactMap { $0 }
    }
    for form in FusedForm.all where tensor.name.hasSuffix(form.fused) {
      let parts = form.parts.compactMap { lookUp(tensor.name.dropLast(form.fused.count) + $0) }
      if let first = parts.first { result.append((parts.flatMap(\.names), first.entry)) }
    }
    for form in FusedForm.all {
      for part in form.parts where tensor.name.hasSuffix(part) {
        result += [lookUp(tensor.name.dropLast(part.count) + form.fused)].compactMap { $0 }
      }
    }
    if let stacked = stacked(tensor, lookUp) { result.append(stacked) }
    if let sliced = sliced(tensor, lookUp) { result.append(sliced) }
    return result
  }

  /// The importance of a stack from entries of single experts, such as `ffn_up.3.weight` in models of 2023.
  private func stacked(
    _ tensor: TensorInfo, _ lookUp: (String) -> (names: [String], entry: Entry)?
  ) -> (names: [String], entry: Entry)? {
    let suffix = "_exps.weight"
    guard tensor.name.hasSuffix(suffix), tensor.shape.matrices > 1 else { return nil }
    let columns = tensor.shape.columns
    let stem = tensor.name.dropLast(suffix.count)
    let experts = (0..<tensor.shape.matrices).map { expert in
      lookUp("\(stem).\(expert).weight").flatMap { $0.entry.sums.count == columns ? $0 : nil }
    }
    let names = experts.compactMap { $0 }.flatMap(\.names)
    guard !names.isEmpty else { return nil }
    return (
      names,
      Entry(
        sums: experts.flatMap { $0?.entry.sums ?? [Float](repeating: 0, count: columns) },
        counts: experts.map { $0?.entry.counts[0] ?? 0 })
    )
  }

  /// The importance of a single expert from the entry of a stack.
  private func sliced(
    _ tensor: TensorInfo, _ lookUp: (String) -> (names: [String], entry: Entry)?
  ) -> (names: [String], entry: Entry)? {
    let parts = tensor.name.split(separator: ".")
    guard parts.count == 5, let expert = Int(parts[3]), expert >= 0,
      let stack = lookUp("\(parts[0]).\(parts[1]).\(parts[2])_exps.\(parts[4])")
    else { return nil }
    let columns = tensor.shape.columns
    guard columns > 0, stack.entry.sums.count % columns == 0, expert < stack.entry.sums.count / columns else {
      return nil
    }
    let counts = stack.entry.counts
    return (
      stack.names,
      Entry(
        sums: Array(stack.entry.sums[expert * columns..<(expert + 1) * columns]),
        counts: [counts.count == 1 ? counts[0] : counts[min(expert, counts.count - 1)]])
    )
  }
}

/// Matrices with the same input that some files store as one.
private struct FusedForm {
  let fused: String
  let parts: [String]

  static let all = [
    FusedForm(fused: ".attn_qkv.weight", parts: [".attn_q.weight", ".attn_k.weight", ".attn_v.weight"]),
    FusedForm(fused: ".ffn_gate_up.weight", parts: [".ffn_gate.weight", ".ffn_up.weight"]),
    FusedForm(fused: ".ssm_in.weight", parts: [".attn_qkv.weight", ".attn_gate.weight"]),
    FusedForm(fused: ".ffn_gate_up_exps.weight", parts: [".ffn_gate_exps.weight", ".ffn_up_exps.weight"]),
  ]
}
