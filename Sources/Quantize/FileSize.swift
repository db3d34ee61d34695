import GGUF
import Tensors

/// The size of a quantized file as a function of its tensors' types, without building its header.
///
///     file = header + sum of tensors, each padded to the alignment
///     header = (a constant + the recipe's text), padded to the alignment
///
/// The header contains the recipe that gives the types, so its length depends on them. The other parts of the header
/// (keys, tokens, the list of tensors) have a constant length, which is measured once.
public struct FileSize: Sendable {
  /// The source's tensors.
  public let tensors: [TensorInfo]
  /// `general.alignment` of the file.
  public let alignment: Int
  /// The header's bytes without the recipe's text and padding.
  private let constant: Int
  /// nil if an override replaces the recipe.
  private let explainer: RecipeExplainer?
  /// The source's header, where the files are no GGUF.
  private let formed: (form: any OutputForm, header: OutputHeader)?

  /// The size of files with this header.
  public init(_ header: OutputHeader) {
    tensors = header.source.tensors
    formed = header.source.outputForm.map { ($0, header) }
    if formed != nil {
      (alignment, constant, explainer) = (1, 0, nil)
      return
    }
    let layout = GGUFLayout(metadata: header.metadata(fileType: 0, recipe: ""), tensors: tensors)
    alignment = layout.alignment
    constant = layout.unpaddedHeaderBytes
    let isReplaced = header.overrides.contains { $0.key == "quantize.recipe" }
    explainer = isReplaced ? nil : RecipeExplainer(header.source)
  }

  /// The bytes of the whole file. Rows must be whole blocks of their types (a precondition).
  public func bytes(of types: [GGMLType]) throws -> Int { try headerBytes(of: types) + tensorBytes(of: types) }

  /// The bytes before the tensors' data, including padding.
  ///
  /// - Parameter name: the recipe's name; nil for none.
  public func headerBytes(of types: [GGMLType], name: String? = nil) throws -> Int {
    if let formed { return try formed.form.container(types, formed.header).headerBytes }
    var recipe = explainer?.recipe(for: types)
    recipe?.name = name
    return try padded(constant + (recipe?.yaml().utf8.count ?? 0))
  }

  /// The bytes of the header with the shortest recipe: a type without rules.
  public var minimumHeaderBytes: Int {
    if let formed {
      // Every tensor as it is: no list of exceptions.
      return (try? formed.form.container(tensors.map(\.exactType), formed.header).headerBytes) ?? 0
    }
    return padded(constant + (explainer == nil ? 0 : "base: F16\n".utf8.count))
  }

  /// The bytes of one tensor's data, including padding; nil for a type whose blocks don't fit its rows.
  public func bytes(of tensor: Int, as type: GGMLType) -> Int? {
    if let formed { return formed.form.bytes(of: tensors[tensor], as: type) }
    return tensors[tensor].bytes(as: type, alignment: alignment)
  }

  /// The bytes of all tensors' data. Rows must be whole blocks of their types (a precondition).
  func tensorBytes(of types: [GGMLType]) -> Int {
    types.enumerated().reduce(0) { sum, tensor in
      guard let bytes = bytes(of: tensor.offset, as: tensor.element) else {
        preconditionFailure("\(tensors[tensor.offset].name) as \(tensor.element)")
      }
      return sum + bytes
    }
  }

  private func padded(_ bytes: Int) -> Int { (bytes + alignment - 1) / alignment * alignment }
}

extension TensorInfo {
  /// The bytes in a file, including padding; nil for a type whose blocks don't fit the rows.
  public func bytes(as type: GGMLType, alignment: Int) -> Int? {
    shape.bytes(as: type).map { ($0 + alignment - 1) / alignment * alignment }
  }
}

// MARK: the smallest file

extension FileSize {
  /// The types of the smallest file, given the types that each tensor may have.
  ///
  /// These are the tensors' smallest types, unless a larger type saves more bytes in the recipe's text than it adds: a
  /// recipe has a rule of about forty bytes for each exception. Types whose additional bytes could be saved there are
  /// tried, for whole classes of tensors and for single tensors, until none reduces the size. If the types of a tensor
  /// differ by more than a recipe's text (above about a million weights), there are no such types, and the result is
  /// exact.
  ///
  /// - Parameter menus: the types of each tensor, not empty, in the tensors' order.
  public func smallest(_ menus: [[GGMLType]]) throws -> [GGMLType] {
    precondition(menus.count == tensors.count && menus.allSatisfy { !$0.isEmpty }, "a tensor without types")
    func size(_ tensor: Int, _ type: GGMLType) -> Int { bytes(of: tensor, as: type) ?? Int.max / 2 }
    var types = menus.enumerated().map { index, menu in
      menu.min { (size(index, $0), $0.rawValue) < (size(index, $1), $1.rawValue) } ?? tensors[index].type
    }
    var total = try bytes(of: types)
    // The maximum that a shorter recipe can save.
    let savings = try headerBytes(of: types) - minimumHeaderBytes
    let affordable = menus.enumerated().map { index, menu in
      menu.filter { size(index, $0) - size(index, types[index]) <= savings }
    }
    guard savings > 0, affordable.contains(where: { $0.count > 1 }) else { return types }
    let open = tensors.indices.filter { affordable[$0].count > 1 }
    let groups = [open] + Dictionary(grouping: open) { tensors[$0].layerClass }.sorted { $0.key < $1.key }.map(\.value)
    let moves = (groups + open.map { [$0] }).flatMap { group in
      Set(group.flatMap { affordable[$0] }).sorted { $0.rawValue < $1.rawValue }.map { (group: group, type: $0) }
    }
    var gains = true
    while gains {
      gains = false
      for move in moves {
        var candidate = types
        for index in move.group where affordable[index].contains(move.type) { candidate[index] = move.type }
        guard candidate != types else { continue }
        let bytes = try bytes(of: candidate)
        guard bytes < total else { continue }
        (types, total, gains) = (candidate, bytes, true)
      }
    }
    return types
  }
}
