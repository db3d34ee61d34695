import GGUF
import Tensors

extension ModelSource {
  /// The names of the matrices that are published in blocks beside matrices of floats, and keep them unless they are
  /// quantized again on request: MXFP4, and blocks of any type in a checkpoint.
  ///
  /// - Parameter isCheckpoint: the model is a directory with config.json, or its shapes.
  public func publishedBlocks(isCheckpoint: Bool) -> Set<String> {
    let matrices = tensors.filter(\.isQuantizable)
    guard matrices.contains(where: { !$0.type.isQuantized }) else { return [] }
    return Set(matrices.filter { $0.type.isQuantized && (isCheckpoint || $0.type == .mxfp4) }.map(\.name))
  }
}
