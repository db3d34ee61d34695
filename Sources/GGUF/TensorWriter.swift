import Tensors

/// Writes the rows of a model's tensors, each encoded in its type, to files that appear when they are complete.
///
/// The index of a tensor is that in the source's order. ``GGUFWriter`` writes GGUFs; other containers have their own.
public protocol TensorWriter: AnyObject {
  /// The final paths of the files.
  var paths: [String] { get }
  /// Whether an earlier run left all files at their final size, so that some rows may be written already.
  var isResumed: Bool { get }
  /// Keeps the temporary files when this writer is dropped without a commit.
  func keepTemporary()
  /// Removes the temporary files when this writer is dropped without a commit.
  func discardTemporary()
  /// Writes rows of a tensor from row `row` on.
  func write(_ bytes: RawSpan, tensor index: Int, row: Int) throws
  /// Fills `output` with the written rows of a tensor from row `row` on.
  func read(into output: inout MutableRawSpan, tensor index: Int, row: Int) throws
  /// SHA-256 of a tensor's rows, in hexadecimal.
  func digest(tensor index: Int) throws -> String
  /// Syncs the files and gives them their final names.
  func commit() throws
}

extension GGUFWriter: TensorWriter {
  public func digest(tensor index: Int) throws -> String { try digest(tensor: index, bufferBytes: 16 << 20) }
}
