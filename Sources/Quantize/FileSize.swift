import GGUF
import Tensors

/// The bytes of a quantized file as a function of its tensors' types, without making its header.
///
///     file = header + sum of tensors, each padded to the alignment
///     header = (a constant + the recipe's text), padded likewise
///
/// The header says by which recipe the types come about, so that its length depends on them. Everything else in it (keys,
/// tokens, the directory of tensors) has one length for all types, and is measured once.
public struct FileSize: Sendable {
  public let tensors: [TensorInfo]
  /// `general.alignment` of the file.
  public let alignment: Int
  /// The header without the recipe's text and without padding.
  private let constant: Int
  /// nil where an override replaces the recipe.
  private let explainer: RecipeExplainer?

  public init(_ header: OutputHeader) {
    tensors = header.source.tensors
    let layout = GGUFLayout(metadata: header.metadata(fileType: 0, recipe: ""), tensors: tensors)
    alignment = layout.alignment
    constant = layout.unpaddedHeaderBytes
    let isReplaced = header.overrides.contains { $0.key == "quantize.recipe" }
    explainer = isReplaced ? nil : RecipeExplainer(header.source)
  }

  /// The whole file.
  public func bytes(of types: [GGMLType]) throws -> Int { try headerBytes(of: types) + tensorBytes(of: types) }

  /// Everything in front of the tensors' data, padding included.
  public func headerBytes(of types: [GGMLType]) throws -> Int {
    try padded(constant + (explainer?.recipe(for: types).yaml().utf8.count ?? 0))
  }

  /// The header with the shortest recipe that there is: a type without rules.
  public var leastHeaderBytes: Int { padded(constant + (explainer == nil ? 0 : "base: F16\n".utf8.count)) }

  /// One tensor's data, padding included; nil for a type whose blocks don't fit its rows.
  public func bytes(of tensor: Int, as type: GGMLType) -> Int? {
    tensors[tensor].bytes(as: type, alignment: alignment)
  }

  /// All tensors' data. Their rows must be whole blocks of their types (a precondition).
  public func tensorBytes(of types: [GGMLType]) -> Int {
    types.enumerated().reduce(0) { sum, one in
      guard let bytes = bytes(of: one.offset, as: one.element) else {
        preconditionFailure("\(tensors[one.offset].name) as \(one.element)")
      }
      return sum + bytes
    }
  }

  private func padded(_ bytes: Int) -> Int { (bytes + alignment - 1) / alignment * alignment }
}

extension TensorInfo {
  /// Bytes in a file, padding included.
  public func bytes(as type: GGMLType, alignment: Int) -> Int? {
    shape.bytes(as: type).map { ($0 + alignment - 1) / alignment * alignment }
  }
}

// MARK: the smallest file

extension FileSize {
  /// The types of the smallest file, of those that each tensor may have.
  ///
  /// The tensors' smallest types are that, unless a larger type saves more in the recipe's text than it takes: a recipe
  /// has a rule of some forty bytes for each exception. So only types whose extra bytes could be saved there are tried, in
  /// whole classes of tensors and one by one, until none gains. Where tensors differ by more than a recipe takes (above
  /// about a million weights), no such type exists, and the result is exact.
  ///
  /// - Parameter menus: types by tensor, none empty, in the tensors' order.
  public func smallest(_ menus: [[GGMLType]]) throws -> [GGMLType] {
    precondition(menus.count == tensors.count && menus.allSatisfy { !$0.isEmpty }, "a tensor without types")
    func size(_ tensor: Int, _ type: GGMLType) -> Int { bytes(of: tensor, as: type) ?? Int.max / 2 }
    var types = menus.enumerated().map { index, menu in
      menu.min { (size(index, $0), $0.rawValue) < (size(index, $1), $1.rawValue) } ?? tensors[index].type
    }
    var total = try bytes(of: types)
    // The most that a recipe can give back.
    let reach = try headerBytes(of: types) - leastHeaderBytes
    let near = menus.enumerated().map { index, menu in
      menu.filter { size(index, $0) - size(index, types[index]) <= reach }
    }
    guard reach > 0, near.contains(where: { $0.count > 1 }) else { return types }
    let open = tensors.indices.filter { near[$0].count > 1 }
    let groups = [open] + Dictionary(grouping: open) { tensors[$0].layerClass }.sorted { $0.key < $1.key }.map(\.value)
    let moves = (groups + open.map { [$0] }).flatMap { group in
      Set(group.flatMap { near[$0] }).sorted { $0.rawValue < $1.rawValue }.map { (group: group, type: $0) }
    }
    var gains = true
    while gains {
      gains = false
      for move in moves {
        var candidate = types
        for index in move.group where near[index].contains(move.type) { candidate[index] = move.type }
        guard candidate != types else { continue }
        let bytes = try bytes(of: candidate)
        guard bytes < total else { continue }
        (types, total, gains) = (candidate, bytes, true)
      }
    }
    return types
  }
}
