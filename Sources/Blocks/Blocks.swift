import Tensors

/// Decodes whole rows of blocks to floats, exactly as ggml does.
///
/// `bytes` holds `output.count / blockLength` blocks.
public func decodeRows(_ bytes: RawSpan, as type: GGMLType, into output: inout MutableSpan<Float>) {
  precondition(
    output.count % type.blockLength == 0 && bytes.byteCount == output.count / type.blockLength * type.blockBytes,
    "\(bytes.byteCount) bytes of \(type) for \(output.count) elements")
}
