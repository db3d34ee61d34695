/// A model in several files, each of which can be removed when nothing more is read from it.
///
/// A later run can open the model without these files if it does not read their tensors.
public protocol DividedSource: ModelSource {
  /// The paths of all files of weights.
  var files: [String] { get }
  /// The files that an earlier run has removed.
  var removedFiles: Set<String> { get }
  /// The files that a tensor is read from.
  func files(of tensor: TensorInfo) -> Set<String>
  /// Keeps other processes from reading the model.
  ///
  /// - Throws: `FileError` where another process reads it.
  func excludeOthers() throws
  /// Removes a file, and records what opening the model needs of it.
  func remove(_ file: String) throws
  /// Removes the remaining files and all records, when nothing is read any more.
  func removeRemaining() throws
}
