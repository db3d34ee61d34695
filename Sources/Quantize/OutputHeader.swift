import Blocks
import GGUF
import Tensors

/// What a quantized file says of itself besides its tensors: the source's metadata, the importance that it was made with,
/// the recipe, and keys that were set by hand.
public struct OutputHeader: Sendable {
  public let source: any ModelSource
  public let importance: ImportanceProvenance?
  /// The text by which rounding errors are fed back; nil where they are not.
  public var feedback: FeedbackProvenance?
  /// The source's fingerprint, in hexadecimal.
  public let fingerprint: String
  /// Keys that replace all others of their names.
  public let overrides: [(key: String, value: MetadataValue)]

  public init(
    source: any ModelSource, importance: ImportanceProvenance?, fingerprint: String,
    overrides: [(key: String, value: MetadataValue)] = []
  ) {
    self.source = source
    self.importance = importance
    self.fingerprint = fingerprint
    self.overrides = overrides
  }

  /// The rewriting of the source to given types, in its order.
  ///
  /// - Parameters:
  ///   - fileType: `general.file_type`; nil for the mix whose name comes nearest.
  ///   - name: the recipe's name.
  public func plan(_ types: [GGMLType], fileType: Int? = nil, name: String? = nil) throws -> RewritePlan {
    let shapes = TypedShapes(source, types: types)
    var recipe = Recipe(explaining: shapes)
    recipe.name = name
    return RewritePlan(
      source: source, types: types,
      metadata: metadata(fileType: fileType ?? recipe.fileType(of: shapes.tensors), recipe: try recipe.yaml()))
  }

  /// The types that a recipe asks for, before constraints; with nil the present ones.
  public func wantedTypes(_ recipe: Recipe?, hasImportance: Bool) -> [GGMLType] {
    recipe?.types(for: source, hasImportance: hasImportance) ?? source.tensors.map(\.type)
  }

  /// The rewriting of the source by a recipe, or with nil in its own types, under constraints.
  ///
  /// - Throws: `QuantizeError` for types that can't be written.
  public func plan(
    _ recipe: Recipe?, constraints: TypeConstraints = TypeConstraints(), hasImportance: Bool
  ) throws -> RewritePlan {
    let wanted = wantedTypes(recipe, hasImportance: hasImportance)
    let types = try constraints.applied(to: wanted, of: source)
    for (tensor, type) in zip(source.tensors, types) where type != tensor.type {
      guard type.canEncode else { throw QuantizeError.notEncodable(tensor: tensor.name, type: type) }
      guard hasImportance || !type.needsImportance else {
        throw QuantizeError.needsImportance(tensor: tensor.name, type: type)
      }
    }
    let fileType = recipe?.fileType(of: TypedShapes(source, types: types).tensors)
    return try plan(
      types, fileType: fileType ?? source.metadata.optionalInt("general.file_type") ?? 0, name: recipe?.name)
  }

  func metadata(fileType: Int, recipe: String) -> Metadata {
    var metadata = source.outputMetadata(
      fileType: fileType, importance: importance, feedback: feedback,
      recipe: RecipeProvenance(recipe: recipe, source: fingerprint))
    for (key, value) in overrides { metadata[key] = value }
    return metadata
  }
}

extension ImportanceProvenance {
  /// A matrix that is still to be computed from texts. Takes as many bytes of a header as the real one will.
  public init(computedFrom texts: [String]) {
    self.init(
      file: "computed", dataset: texts.joined(separator: " "), entries: 0, chunks: 0,
      fingerprint: String(repeating: "0", count: 64))
  }
}
