import Blocks
import GGUF
import Tensors

/// The inputs of a quantized file's header: the source's metadata, the provenance of the importance, the recipe, and
/// overridden keys.
public struct OutputHeader: Sendable {
  /// The model to quantize.
  public let source: any ModelSource
  /// The importance matrix in use; nil for none.
  public let importance: ImportanceProvenance?
  /// The text of error feedback; nil without feedback.
  public var feedback: FeedbackProvenance?
  /// The source's fingerprint, in hexadecimal.
  public let fingerprint: String
  /// Keys that replace those of the same name.
  let overrides: [(key: String, value: MetadataValue)]
  /// The grade of evidence for the types of a fitted mix (`quantize.evidence`); nil for other mixes.
  public var evidence: String?

  /// - Parameters:
  ///   - importance: the importance matrix in use; nil for none.
  ///   - fingerprint: the source's fingerprint, in hexadecimal.
  ///   - overrides: keys that replace those of the same name.
  public init(
    source: any ModelSource, importance: ImportanceProvenance?, fingerprint: String,
    overrides: [(key: String, value: MetadataValue)] = []
  ) {
    self.source = source
    self.importance = importance
    self.fingerprint = fingerprint
    self.overrides = overrides
  }

  /// Plans the rewriting of the source to given types, in the order of its tensors.
  ///
  /// - Parameters:
  ///   - fileType: `general.file_type`; nil for that of the nearest stock mix.
  ///   - name: the recipe's name.
  public func plan(_ types: [GGMLType], fileType: Int? = nil, name: String? = nil) throws -> RewritePlan {
    let shapes = TypedShapes(source, types: types)
    var recipe = Recipe(explaining: shapes)
    recipe.name = name
    if source.outputForm == nil, let index = types.firstIndex(where: \.isAffine) {
      throw QuantizeError.unsupported(
        "tensor \(source.tensors[index].name): \(types[index]) is a type of MLX, which no GGUF has")
    }
    var plan = RewritePlan(
      source: source, types: types,
      metadata: metadata(fileType: fileType ?? recipe.fileType(of: shapes.tensors), recipe: try recipe.yaml()))
    plan.container = try source.outputForm?.container(types, self)
    return plan
  }

  /// The types that a recipe gives, before constraints; nil means the source's types.
  public func wantedTypes(_ recipe: Recipe?, hasImportance: Bool) -> [GGMLType] {
    recipe?.types(for: source, hasImportance: hasImportance) ?? source.tensors.map(\.type)
  }

  /// Plans the rewriting of the source by a recipe, or in its types if nil, under constraints.
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
    if let evidence { metadata["quantize.evidence"] = .string(evidence) }
    for (key, value) in overrides { metadata[key] = value }
    return metadata
  }
}

extension ImportanceProvenance {
  /// A placeholder for a matrix that will be computed from texts. It takes the same number of bytes in a header.
  public init(computedFrom texts: [String]) {
    self.init(
      file: "computed", dataset: texts.joined(separator: " "), entries: 0, chunks: 0,
      fingerprint: String(repeating: "0", count: 64))
  }
}
