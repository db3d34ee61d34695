import Tensors

/// The rows of a matrix, or of a stack of matrices, that another quantizer has packed into one or more stored tensors.
///
/// Rows are unpacked when they are read, a range at a time.
protocol PackedRows: Sendable {
  /// The GGUF type of blocks that hold the same values; nil if there is none.
  var blockType: GGMLType? { get }
  /// The GGUF float type that holds the values best.
  var floatType: GGMLType { get }

  /// Writes rows in ``blockType``. Called only if there is one.
  func readBlocks(_ rows: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws
  /// Writes rows as floats.
  func readFloats(_ rows: Range<Int>, into output: UnsafeMutableBufferPointer<Float>) throws
}

extension StoredTensor {
  /// The GGUF type whose rows have the same bytes, or whose blocks the packed rows become; nil if there is none.
  var type: GGMLType? { packed.map(\.blockType) ?? element.type }

  /// ``type``, or else the narrowest GGUF float type of the same range.
  var nearestType: GGMLType { packed.map { $0.blockType ?? $0.floatType } ?? element.nearestType }

  /// The narrowest GGUF float type of the same range.
  var floatType: GGMLType { packed.map(\.floatType) ?? element.nearestType }

  /// Whether the tensor can be read as weights.
  var holdsWeights: Bool { packed != nil || SourceElement.weights.contains(element) }
}
